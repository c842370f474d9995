"""The door of Flower: one rule before all of its pages, so that none of them can forget to ask for the password.

Flower asks page by page, and some of its pages do not: its figures, its static files and its error pages answer
anybody. Tornado comes with the extra `flower`, so this module is imported only where Flower is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flower.views.monitor import Healthcheck
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, PathMatches, Rule, RuleRouter
from tornado.web import RequestHandler, stream_request_body

from reelmill_producer.dashboards.flower_logins import is_loopback

HEALTH = "/healthcheck"
"""Answers `OK` to anybody, and nothing else: container engines and load balancers bring no password.

With a prefix or without: a container's health check asks the process, not the proxy before it, and does not know the
prefix.
"""
FIGURES = "/metrics"


def close_door(router: RuleRouter, strangers: LoginRequired) -> None:
    """Answer 401 to every request of a stranger, whatever its path and method, before any page sees it."""
    router.rules[:0] = [Rule(strangers, Refusal), Rule(PathMatches(f"{HEALTH}$"), Healthcheck)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequired(Matcher):
    """Matches requests that may not come in.

    Attributes:
        logins: `user:password` of everybody who may look; empty: Flower's own sign-in keeps the door, or nobody does.
        signs_in: Whether Flower lets people sign in with another service: then it sends strangers there by itself.
        prefix: Path under which Flower is served, without a slash at its end.
        badge: The one login that Flower itself is told of, in ASCII: it compares logins as text, which fails on other
            letters, and asks for `Basic` in this very spelling. Who passes here is given it.
    """

    logins: Sequence[str]
    signs_in: bool
    prefix: str = ""
    badge: str = ""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return None for a request that may pass."""
        passes = self._passes(request.path.removeprefix(self.prefix), request)
        return None if passes else {}

    def _passes(self, path: str, request: HTTPServerRequest) -> bool:
        if path == HEALTH and request.method in {"GET", "HEAD"}:
            return True
        if self.logins:
            known = _knows(self.logins, request.headers.get("Authorization", ""))
            if known and self.badge:
                request.headers["Authorization"] = f"Basic {base64.b64encode(self.badge.encode()).decode()}"
            return known
        if self.signs_in:
            return path != FIGURES  # the one page with content that Flower does not guard
        # Nobody needs a password, on a loopback address. A foreign page whose name was made to mean that address would
        # be able to read ours; its requests carry its own name.
        return is_loopback(request.host_name)


@stream_request_body  # refuse before the body is read: a stranger's may be large
class Refusal(RequestHandler):
    """Says that a password is wanted."""

    def check_xsrf_cookie(self) -> None:
        """Ask for nothing: there is nothing here that could be forged."""

    def prepare(self) -> None:
        """Answer; no method of the request is ever looked at."""
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="reelmill", charset="UTF-8"')  # RFC 7617
        self.finish("Access denied")

    def data_received(self, chunk: bytes) -> None:
        """Drop what comes after."""


def _knows(logins: Sequence[str], header: str) -> bool:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(rest.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    # All are compared, and as bytes: neither how long it takes nor a strange letter tells anything.
    known = [hmac.compare_digest(_plain(given), _plain(os.fsencode(login))) for login in logins]
    return any(known)


def _plain(login: bytes) -> bytes:
    """Return a login in one form of UTF-8, however its letters were composed; older browsers send Latin-1."""
    try:
        text = login.decode()
    except UnicodeDecodeError:
        text = login.decode("latin-1")
    return unicodedata.normalize("NFC", text).encode()
