"""The application: its routes, its pages, and what every request passes through."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.routing import Route

from reelmill_common import __version__
from reelmill_common.settings import Settings
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console
from reelmill_producer.web.document import document
from reelmill_producer.web.error_answers import add_handlers
from reelmill_producer.web.headers import StrictHeaders, is_loopback
from reelmill_producer.web.limits import Limits
from reelmill_producer.web.mcp import PATH as MCP
from reelmill_producer.web.mcp import McpDoor
from reelmill_producer.web.pages import add_pages
from reelmill_producer.web.routes import (
    batches,
    clips,
    control,
    events,
    farm,
    health,
    jobs,
    owners,
    plan,
    reports,
    schedules,
    session,
    videos,
    webhooks,
    workers,
)

API = "/api/v1"
ROUTERS = (
    batches.router,
    jobs.router,
    clips.router,
    events.router,
    session.router,
    farm.router,
    plan.router,
    control.router,
    reports.router,
    workers.router,
    schedules.router,
    owners.router,
    webhooks.router,
)
"""Those that are asked most come first: each one before costs a request 6 µs."""


def make_app(settings: Settings, *, is_open: bool = False) -> FastAPI:
    """Make the application. Nothing is connected before the first request, or the start of the server.

    Args:
        settings: Settings, with what the command line said.
        is_open: Whether everyone is an operator without a token; only for a loopback address.
    """
    console = Console(settings=settings, is_open=is_open, connection=FarmConnection(settings))

    door = McpDoor(console)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncGenerator[None]:
        console.feed.start()
        async with door.running():
            yield
        console.feed.stop()
        console.connection.close()

    app = FastAPI(
        title="Reelmill",
        version=__version__,
        description="A render farm: prompts become clips. Times are Unix seconds.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        telemetry={"tracing": False},
    )
    app.state.console = console
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's manual: "Extending OpenAPI"
    add_handlers(app)
    app.include_router(health.router)
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(videos.router)
    app.router.routes.append(Route(MCP, door))
    add_pages(app)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(
        StrictHeaders,
        hosts=[name for name in settings.console_hosts.split(",") if name],
        loopback=is_loopback(settings.console_address),
        root_path=settings.console_root_path,
    )
    return app
