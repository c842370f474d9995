"""Authentication: who sends a request, by a token, a proxy's sign-in, a cookie, or anyone where the console is open."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from reelmill_common.access import Principal
from reelmill_common.ledger.tokens import PREFIX
from reelmill_producer.web.console import Console
from reelmill_producer.web.headers import SAFE
from reelmill_producer.web.problems import Refusal

COOKIE = "reelmill_session"
"""Holds the token of a sign-in; no script can read it, and no other site's request carries it."""
PROXY_HEADER = "X-Reelmill-Token"
"""Holds the token that a proxy adds to the requests of a person whom it has signed in."""
CSRF_HEADER = "X-Reelmill-CSRF"
_BEARER = f"bearer {PREFIX}"
_CSRF = b"reelmill csrf"


@dataclass(frozen=True, slots=True)
class Presented:
    """The token that a request has.

    Attributes:
        token: Empty if it has none.
        is_ambient: Whether a browser may have made the request for a page of any site: then a change must prove that it
            comes from ours. Only a token that nobody but the sender can have added proves it by itself.
    """

    token: str
    is_ambient: bool


def checked_token(request: Request) -> str:
    """Return the token of a request, which may be invalid or empty; asks nothing.

    Raises:
        Refusal: 403: a change does not prove that it comes from our pages.
    """
    console: Console = request.app.state.console
    if console.is_open:
        return ""
    found = presented(request.headers)
    if found.is_ambient and found.token and request.method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), csrf_of(found.token).encode()):
            raise Refusal(403, f"the header {CSRF_HEADER} is not that of the session; GET /api/v1/session has it")
    return found.token


def presented(headers: Headers) -> Presented:
    """Return the token of a request: that of a proxy, of the sender's own header, or of the cookie, in this order.

    `Authorization` with something else than a token of ours is between the browser and the proxy, and passed over where
    there is a cookie. A request with the cookie comes from a browser, whatever else was added to it on its way.
    """
    cookies = headers.get("cookie", "")
    cookie = cookie_parser(cookies).get(COOKIE, "") if COOKIE in cookies else ""
    if by_proxy := headers.get(PROXY_HEADER, ""):
        return Presented(by_proxy.strip(), is_ambient=True)
    own = headers.get("authorization", "")
    if own[: len(_BEARER)].lower() == _BEARER:
        return Presented(own.partition(" ")[2].strip(), is_ambient=bool(cookie))
    return Presented(cookie, is_ambient=True)


def holder(console: Console, token: str) -> Principal:
    """Return who holds a token. Each request asks the ledger, which blocks, so that a revoked one is refused at once.

    Raises:
        Refusal: 401: it is unknown, expired or revoked.
        LedgerUnavailable: Redis is away.
    """
    found = console.connection.farm().ledger.tokens.principal(token) if token else None
    if found is None:
        raise Refusal(401, "there is no token that this farm knows", headers={"WWW-Authenticate": "Bearer"})
    return found


def csrf_of(token: str) -> str:
    """Return what proves that a request comes from a page that could read the answer to GET /session."""
    return hmac.new(token.encode(), _CSRF, hashlib.sha256).hexdigest()
