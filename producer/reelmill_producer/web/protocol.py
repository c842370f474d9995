"""The HTTP protocol: uvicorn's, with a limit to the time that the head of a request may take (Slowloris)."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 20.0


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection on which no request has come whole in time. Between requests uvicorn's own limit holds."""

    head_s = HEAD_S
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        if self._limit is None:
            self._begin()

    def on_headers_complete(self) -> None:
        """Take a request."""
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._limit = self.loop.call_later(self.head_s, self.transport.close)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def timed(head_s: float) -> type[TimedProtocol]:
    """Return the protocol with a limit in seconds."""
    return type("TimedProtocol", (TimedProtocol,), {"head_s": head_s})
