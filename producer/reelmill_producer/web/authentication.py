"""Authentication: who sends a request, by a token, by the cookie of a sign-in, or anyone where the console is open."""

from __future__ import annotations

import hashlib
import hmac

from anyio import to_thread
from fastapi import Request

from reelmill_common.access import OPERATOR, Principal
from reelmill_producer.web.console import Console
from reelmill_producer.web.headers import SAFE
from reelmill_producer.web.problems import Refusal

COOKIE = "reelmill_session"
"""Holds the token of a sign-in; no script can read it, and no other site's request carries it."""
CSRF_HEADER = "X-Reelmill-CSRF"
_BEARER = "bearer "
_CSRF = b"reelmill csrf"


async def authenticated(request: Request) -> Principal:
    """Return who sends a request; a dependency.

    Raises:
        Refusal: 401: there is no valid token; 403: a request by cookie does not prove that it comes from our pages.
        LedgerUnavailable: Redis is away, so tokens cannot be looked up.
    """
    console: Console = request.app.state.console
    if console.is_open:
        return OPERATOR
    token, by_cookie = presented(request)
    if by_cookie and token and request.method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), csrf_of(token).encode()):
            raise Refusal(403, f"the header {CSRF_HEADER} is not that of the session; GET /api/v1/session has it")
    return await holder(console, token)


def presented(request: Request) -> tuple[str, bool]:
    """Return the token that a request has, or an empty text, and whether it came by the cookie."""
    header = request.headers.get("authorization", "")
    if header:
        return (header[len(_BEARER) :].strip() if header[: len(_BEARER)].lower() == _BEARER else ""), False
    token = request.cookies.get(COOKIE, "")
    return token, bool(token)


async def holder(console: Console, token: str) -> Principal:
    """Return who holds a token. Each request asks the ledger, so that a revoked token is refused at once.

    Raises:
        Refusal: 401: it is unknown, expired or revoked.
        LedgerUnavailable: Redis is away.
    """
    found = await to_thread.run_sync(_looked_up, console, token) if token else None
    if found is None:
        raise Refusal(401, "there is no token that this farm knows", headers={"WWW-Authenticate": "Bearer"})
    return found


def _looked_up(console: Console, token: str) -> Principal | None:
    return console.connection.farm().ledger.tokens.principal(token)


def csrf_of(token: str) -> str:
    """Return what proves that a request comes from a page that could read the answer to GET /session."""
    return hmac.new(token.encode(), _CSRF, hashlib.sha256).hexdigest()
