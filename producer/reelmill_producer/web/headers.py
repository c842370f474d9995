"""Headers: what every answer carries, and which hosts a request may name."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelmill_producer.web.error_answers import answer_for
from reelmill_producer.web.problems import Refusal

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
STATIC = "/static/"
"""Where files of the pages are, which a browser may keep if it asks each time whether they have changed."""
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class StrictHeaders:
    """Adds the headers, refuses hosts that the console is not known by, and takes a proxy's path off.

    Args:
        app: What answers.
        hosts: Names that a request may be for; `*.example.org` stands for all below it. Empty: any.
        loopback: Whether loopback addresses and `localhost` alone may be named where `hosts` is empty: else a page of
            another site could have its own name point here and read what it likes (DNS rebinding).
        root_path: Path under which a proxy shows the console.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], loopback: bool, root_path: str) -> None:
        self._app, self._hosts, self._loopback, self._root = app, tuple(hosts), loopback, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
                is_static = scope["path"].startswith((f"{self._root}{STATIC}", STATIC))
                headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(host_of(host)):
            await answer_for(scope, Refusal(421, f"this console is not known as {host[:80]!r}"))(scope, receive, sent)
            return
        if scope["method"] not in SAFE and self._is_foreign(headers):
            await answer_for(scope, Refusal(403, "the request comes from a page of another site"))(scope, receive, sent)
            return
        await self._app(self._rooted(scope), receive, sent)

    def _knows(self, name: str) -> bool:
        if self._loopback and is_loopback(name):
            return True
        if self._hosts:
            return any(name == known or (known[:2] == "*." and name.endswith(known[1:])) for known in self._hosts)
        return not self._loopback

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser says that a page of another site made the request; only a browser says so."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return True
        origin = headers.get("origin", "")
        if not origin:
            return False
        parts = urlsplit(origin)
        if parts.netloc.lower() == headers.get("host", "").lower():
            return False
        return not self._hosts or not self._knows(host_of(parts.netloc))

    def _rooted(self, scope: Scope) -> Scope:
        """Return a scope whose path begins with the root path, as ASGI has it, whether the proxy took it off or not."""
        path = scope["path"]
        if not self._root:
            return scope
        if path != self._root and not path.startswith(f"{self._root}/"):
            path = self._root + path
        return {**scope, "path": path, "root_path": self._root}


def host_of(text: str) -> str:
    """Return the name in a `Host` header, without the port."""
    name = text.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def is_loopback(name: str) -> bool:
    """Whether a name or an address can only mean this machine."""
    if name in ("localhost", "localhost.localdomain") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
