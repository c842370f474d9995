"""The session of a browser: sign in with a token, say who is signed in, sign out."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from reelmill_common.access import Principal
from reelmill_producer.web.authentication import COOKIE, csrf_of, holder, presented
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.console import Console
from reelmill_producer.web.farm_schemas import SessionItem, SignIn
from reelmill_producer.web.headers import host_of, is_loopback
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["session"], responses=PROBLEMS, route_class=ThreadedRoute)
SESSION_S = 30 * 86_400
"""Seconds after which a browser forgets the token; the token may end sooner."""


@router.get("/session", response_model=SessionItem)
def show(request: Request, caller: SomeCaller) -> dict[str, Any]:
    """Say who makes the request, and give the value for `X-Reelmill-CSRF`."""
    token = presented(request.headers).token
    return _item(caller.principal, csrf_of(token) if token else "", is_open=caller.console.is_open)


@router.post("/session", response_model=SessionItem)
async def sign_in(request: Request, response: Response, given: SignIn) -> dict[str, Any]:
    """Exchange a token for a cookie, which no script can read and no other site can send."""
    console: Console = request.app.state.console
    principal = await to_thread.run_sync(holder, console, given.token)
    secure = request.url.scheme == "https" or not is_loopback(host_of(request.headers.get("host", "")))
    path = console.settings.console_root_path or "/"
    response.set_cookie(
        COOKIE, given.token, max_age=SESSION_S, path=path, secure=secure, httponly=True, samesite="strict"
    )
    return _item(principal, csrf_of(given.token), is_open=console.is_open)


@router.delete("/session", status_code=204)
def sign_out(caller: SomeCaller) -> Response:
    """Forget the cookie; the token stays valid until it expires or is revoked."""
    response = Response(status_code=204)
    response.delete_cookie(
        COOKIE, path=caller.console.settings.console_root_path or "/", httponly=True, samesite="strict"
    )
    return response


def _item(principal: Principal, csrf: str, *, is_open: bool) -> dict[str, Any]:
    role = principal.role.value
    return {"name": principal.name, "role": role, "owner": principal.owner, "csrf": csrf, "open": is_open}
