"""Events: the stream of everything that happened on a farm."""

from __future__ import annotations

from collections.abc import Iterator

from reelmill_common.ledger import queries
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.records import Event

FOLLOW_BLOCK_S = 5.0
"""Seconds that `follow` waits in one round trip."""


class Events(LedgerPart):
    """Reads the event stream. The functions that change the ledger write it."""

    def read(self, *, after: str = "$", block_s: float = 0.0, count: int = 1000) -> list[Event]:
        """Return events after a stream id (`$`: only new ones, `0`: all that are kept), waiting up to `block_s`."""
        return queries.events(self._server, self._keys, after=after, block_s=block_s, count=count)

    def newest(self) -> str:
        """Return the id of the newest event: pass it as `after` to miss nothing that comes after this call."""
        return queries.newest_event(self._server, self._keys)

    def follow(self, batch: str, *, after: str = "$") -> Iterator[Event]:
        """Yield a batch's events as they come, for ever."""
        after = self.newest() if after == "$" else after
        while True:
            for event in self.read(after=after, block_s=FOLLOW_BLOCK_S):
                after = event.event_id
                if event.batch == batch:
                    yield event


def place(event_id: str) -> tuple[int, int]:
    """Return an event's place in the stream, by which events can be compared: Redis' clock in ms, and a number."""
    at, _, number = event_id.partition("-")
    return int(at), int(number or 0)
