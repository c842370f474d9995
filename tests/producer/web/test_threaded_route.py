"""Threaded routes: who a request is from is known before an endpoint runs, in the thread in which it runs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Response
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute

from fixtures.visitor import Visitor
from reelmill_common.access import Role
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.web.app import ROUTERS
from reelmill_producer.web.callers import Caller, Requester, SomeCaller
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console
from reelmill_producer.web.routes import health, videos
from reelmill_producer.web.threaded_route import ThreadedRoute


class Named(BaseModel):
    """An answer."""

    name: str


def answered(app: FastAPI, path: str) -> tuple[int, Any]:
    """Return status and content of an answer of an application, asked in this process."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    # fmt: off
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [], "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2),
    }
    # fmt: on
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def app_with(
    settings: Settings, endpoint: Callable[..., Any], *, model: Any = Named, status: int | None = None,
    kind: type[APIRoute] = ThreadedRoute,
) -> FastAPI:  # fmt: skip
    router = APIRouter(route_class=kind)
    router.add_api_route("/asked", endpoint, response_model=model, status_code=status)
    app = FastAPI()
    app.state.console = Console(settings=settings, is_open=True, connection=FarmConnection(settings))
    app.include_router(router)
    return app


def test_endpoint_and_answer_share_a_thread_and_the_status_of_the_route_is_kept(settings: Settings) -> None:
    seen: list[object] = []

    class Noted(BaseModel):
        name: str

        def model_post_init(self, _context: Any) -> None:
            seen.append(threading.current_thread())

    def endpoint(caller: SomeCaller) -> dict[str, Any]:
        seen.append(threading.current_thread())
        return {"name": caller.principal.name}

    asked = app_with(settings, endpoint, model=Noted, status=201)

    assert answered(asked, "/asked")[0] == 201
    assert len(set(seen)) == 1
    assert seen[0] is not threading.main_thread()


@pytest.mark.parametrize("answer", [{"name": 7}, {}])
def test_an_answer_that_is_not_of_its_model_is_an_error(settings: Settings, answer: dict[str, Any]) -> None:
    def endpoint() -> dict[str, Any]:
        return answer

    with pytest.raises(ResponseValidationError):
        answered(app_with(settings, endpoint), "/asked")


def test_an_endpoint_that_waits_gets_its_caller_too(settings: Settings) -> None:
    async def endpoint(caller: SomeCaller) -> dict[str, Any]:
        return {"name": type(caller).__name__}

    assert answered(app_with(settings, endpoint), "/asked") == (200, {"name": Caller.__name__})


def test_on_another_class_of_route_an_endpoint_gets_no_caller(settings: Settings) -> None:
    def endpoint(caller: SomeCaller) -> dict[str, Any]:
        return {"name": type(caller).__name__}

    assert answered(app_with(settings, endpoint, kind=APIRoute), "/asked")[1] == {"name": Requester.__name__}


def test_a_blocking_endpoint_says_what_it_answers(settings: Settings) -> None:
    def plain() -> dict[str, Any]:
        return {}

    def whole() -> Response:
        return Response(b"7")

    with pytest.raises(TypeError, match="response_model"):
        answered(app_with(settings, plain, model=None), "/asked")
    assert answered(app_with(settings, whole, model=None), "/asked") == (200, 7)


def api_routes() -> Iterator[BaseRoute]:
    for router in (*ROUTERS, videos.router, health.router):
        yield from router.routes


def test_every_route_of_the_api_is_one_of_ours() -> None:
    found = list(api_routes())
    assert len(found) > 40
    assert [route for route in found if not isinstance(route, ThreadedRoute)] == []


def test_who_has_no_valid_token_is_told_so_before_what_else_is_wrong(
    make_console: Callable[..., Visitor], ledger: Ledger
) -> None:
    visitor = make_console(is_open=False, console_rate=0)
    tokens = {"none": "", "wrong": "rmt_" + "A" * 43, "valid": ledger.tokens.make("op", Role.OPERATOR)}

    def statuses(token: str) -> list[int]:
        asks = replace(visitor, token=token)
        return [
            asks("GET", "batches", limit=0).status,
            asks("PATCH", "batches/night", b"{").status,
            asks("PUT", "owners/me", {"no": "such"}).status,
        ]

    assert {name: statuses(token) for name, token in tokens.items()} == {
        "none": [401, 401, 401],
        "wrong": [401, 401, 401],
        "valid": [422, 422, 422],
    }
