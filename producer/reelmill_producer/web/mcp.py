"""MCP: the tools at `/mcp` of the console, for holders of tokens, and on stdin and stdout for the shell's own user."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from mcp.server.mcpserver import Context
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from reelmill_common.access import OPERATOR
from reelmill_common.errors import ReelmillError
from reelmill_common.settings import Settings
from reelmill_producer.web.authentication import presented
from reelmill_producer.web.callers import Caller, requester
from reelmill_producer.web.connection import FarmConnection
from reelmill_producer.web.console import Console
from reelmill_producer.web.error_answers import answer_for
from reelmill_producer.web.mcp_tools import make_mcp
from reelmill_producer.web.problems import Refusal

PATH = "/mcp"
_CALLER = "reelmill.caller"
"""Where a request carries its caller from the door to the tools."""


class McpDoor:
    """The application at `/mcp`. It keeps no sessions, so that any number of consoles may serve one client.

    A token comes as `Authorization: Bearer TOKEN`, never by the cookie of a sign-in: no page may use this.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        server = make_mcp(_caller_of)
        # Which hosts a request may name is checked before us, and its origin here.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(streamable_http_path=PATH, stateless_http=True, transport_security=unchecked)
        self._sessions = server.session_manager

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve until the end of the block; once."""
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            _refuse_pages(request, is_open=self._console.is_open)
            caller = await to_thread.run_sync((await requester(request)).caller)
        except (Refusal, ReelmillError) as err:
            await answer_for(scope, err)(scope, receive, send)
            return
        scope[_CALLER] = caller
        await self._sessions.asgi_app(scope, receive, send)


def _refuse_pages(request: Request, *, is_open: bool) -> None:
    """Refuse what a browser sends for a page of another origin, or by a sign-in: a cookie's, or a proxy's.

    Raises:
        Refusal: 401: the sender itself has given no token; 403: the page is not of this origin.
    """
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Refusal(403, f"a page of {origin[:80]!r} may not use this")
    if not is_open and presented(request.headers).is_ambient:
        detail = "send a token as `Authorization: Bearer TOKEN`, and no cookie of a sign-in"
        raise Refusal(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _caller_of(ctx: Context) -> Caller:
    found: Any = ctx.request_context.request
    caller = found.scope[_CALLER]
    assert isinstance(caller, Caller)  # noqa: S101 - the door put it there
    return caller


def serve_stdio(settings: Settings) -> None:
    """Serve the tools on stdin and stdout until stdin ends, with all rights: who has the settings has them anyway."""
    console = Console(settings=settings, is_open=True, connection=FarmConnection(settings))
    caller = Caller(principal=OPERATOR, console=console)
    try:
        make_mcp(lambda _ctx: caller).run("stdio")
    finally:
        console.connection.close()
