"""Flower's authentication: one rule before all pages, so that each of them requires the login.

Flower itself checks page by page, and some pages do not: its metrics, static files and error pages are open. Tornado
comes with the extra `flower`, so this module is imported only where Flower is.
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
"""Answers `OK` without a login, and nothing else: container engines and load balancers send no password.

It answers with the prefix and without: a container's health check asks the process, not the proxy before it, and does
not know the prefix.
"""
METRICS = "/metrics"


def require_login(router: RuleRouter, login: LoginRequired) -> None:
    """Answer 401 to every request without the login, whatever its path and method, before any page handles it."""
    router.rules[:0] = [Rule(login, Unauthorized), Rule(PathMatches(f"{HEALTH}$"), Healthcheck)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequired(Matcher):
    """Matches requests that lack the login.

    Attributes:
        logins: Accepted logins, as `user:password`; empty: Flower's own sign-in decides, or none is required.
        signs_in: Whether Flower signs users in with another service: then it redirects there by itself.
        prefix: Path under which Flower is served, without a slash at its end.
        badge: The only login that Flower itself knows, in ASCII: it compares logins as text, which fails on other
            letters, and requires this spelling of `Basic`. Accepted requests get it.
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
            return path != METRICS  # the one page with content that Flower leaves open
        # No password is required on a loopback address. A foreign page whose name was made to resolve to that address
        # (DNS rebinding) could read ours; its requests carry its own name.
        return is_loopback(request.host_name)


@stream_request_body  # refuse before the body is read: it may be large
class Unauthorized(RequestHandler):
    """Answers that a login is required."""

    def check_xsrf_cookie(self) -> None:
        """Require nothing: the answer has no effect that could be forged."""

    def prepare(self) -> None:
        """Answer any method."""
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="reelmill", charset="UTF-8"')  # RFC 7617
        self.finish("Access denied")

    def data_received(self, chunk: bytes) -> None:
        """Drop the body."""


def _knows(logins: Sequence[str], header: str) -> bool:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(rest.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    # All are compared, as bytes: neither the time that takes nor an unusual letter reveals anything.
    known = [hmac.compare_digest(_plain(given), _plain(os.fsencode(login))) for login in logins]
    return any(known)


def _plain(login: bytes) -> bytes:
    """Return a login in one form of UTF-8, however its letters were composed; older browsers send Latin-1."""
    try:
        text = login.decode()
    except UnicodeDecodeError:
        text = login.decode("latin-1")
    return unicodedata.normalize("NFC", text).encode()
