"""Limits: how many requests a caller may make, how large a body may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelmill_common.settings import Settings
from reelmill_producer.web.authentication import presented
from reelmill_producer.web.error_answers import answer_for
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.uploads import FILES, media_type

BURST_S = 10
"""Seconds' worth of requests that may come at once."""
FAILED_A_SECOND = 1.0
"""Requests without a valid token that an address may make in the long run, so that tokens cannot be guessed in bulk."""
CALLERS_KEPT = 10_000
SLOWEST_BYTES_S = 1024
"""Bytes a second below which a body is too slow in the long run."""
MOST_OTHER_BYTES = 16_000_000
"""Bytes of a body that is not a prompt file: it is in memory as a whole."""
FREE = ("/healthz", "/readyz")
CLOSE = {"Connection": "close"}


@dataclass(slots=True)
class Bucket:
    """What a caller may still do, and since when that is known."""

    left: float
    at: float


class RateLimit:
    """Token buckets by caller. For one thread.

    Args:
        a_second: Requests a second in the long run; 0: any number.
    """

    def __init__(self, a_second: float) -> None:
        self._rate = a_second
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait_s(self, caller: str, *, cost: float = 1.0) -> float:
        """Take a request from a caller's bucket; return 0, or the seconds after which it may be made."""
        if not self._rate:
            return 0.0
        now, most = time.monotonic(), self._rate * BURST_S
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = Bucket(most, now)
            while len(self._buckets) > CALLERS_KEPT:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        bucket.left = min(most, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self._rate
        bucket.left -= cost
        return 0.0


class Limits:
    """Refuses what goes beyond the limits of the settings, before any of it is worked on."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._most_bytes = settings.console_body_mb * 1_000_000
        self._timeout_s = settings.console_body_timeout_s
        self._rate = RateLimit(settings.console_rate)
        self._failed = RateLimit(FAILED_A_SECOND if settings.console_rate else 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"].endswith(FREE):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        wait_s = self._failed.wait_s(address, cost=0.0) or self._rate.wait_s(_caller(headers) or address)
        if wait_s:
            again = {"Retry-After": str(max(1, round(wait_s + 0.5)))}
            err = Refusal(429, "that is more than REELMILL_CONSOLE_RATE allows", headers=again)
            await answer_for(scope, err)(scope, receive, send)
            return
        most = self._most_bytes if media_type(headers.get("content-type", "")) in FILES else MOST_OTHER_BYTES
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await answer_for(scope, Refusal(413, _too_large(most), headers=CLOSE))(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._failed.wait_s(address)
            await send(message)

        await self._app(scope, self._limited(receive, most), sent)

    def _limited(self, receive: Receive, most_bytes: int) -> Receive:
        """Return a `receive` that refuses a body that is too large or too slow. Once it is whole, all may take long."""
        started, size, is_whole = time.monotonic(), 0, False

        async def received() -> Message:
            nonlocal size, is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout(self._timeout_s):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            if message["type"] != "http.request":
                return message
            size += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if size > most_bytes:
                raise Refusal(413, _too_large(most_bytes), headers=CLOSE)
            if not is_whole and time.monotonic() - started > self._timeout_s + size / SLOWEST_BYTES_S:
                raise self._too_slow()
            return message

        return received

    def _too_slow(self) -> Refusal:
        return Refusal(408, f"nothing, or too little, came for {self._timeout_s:g} s", headers=CLOSE)


def _too_large(most_bytes: int) -> str:
    return f"a body of this type has {most_bytes:,} bytes at most"


def _caller(headers: Headers) -> str:
    """Return what tells a caller from others without being its secret; empty without a token."""
    token = presented(headers).token
    return hashlib.sha256(token.encode()).hexdigest() if token else ""
