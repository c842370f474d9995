"""Events: the stream of everything that happened on a farm, and that of a batch for who watches it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from reelmill_common.ledger import views
from reelmill_common.ledger.base import LedgerConnection, LedgerPart
from reelmill_common.ledger.records import Event

FOLLOW_BLOCK_S = 5.0
"""Seconds that `follow` waits in one round trip."""
WATCH_S = 60
"""Seconds for which a stream is written for a watcher that does not ask again."""
ASK_S = 15.0
"""Seconds after which a watcher asks again."""
PAGE = 1000


class Events(LedgerPart):
    """Reads the event streams. The functions that change the ledger write them."""

    def __init__(self, connection: LedgerConnection) -> None:
        super().__init__(connection)
        self._connection = connection
        self._asked = float("-inf")

    def read(self, *, after: str = "$", block_s: float = 0.0, count: int = 1000, stages: bool = False) -> list[Event]:
        """Return events after a stream id (`$`: only new ones, `0`: all that are kept), waiting up to `block_s`.

        With `stages` those of running jobs are among them (`job.staged`), from the first such call of any process on.
        """
        after = self.newest() if after == "$" else after
        streams = [self._keys.events]
        if stages:
            streams.append(self._keys.stages)
            if time.monotonic() - self._asked >= ASK_S:
                self._server.run("watch", "", WATCH_S)
                self._asked = time.monotonic()
        return _read(self._connection, streams, after=after, block_s=block_s, count=count)

    def newest(self) -> str:
        """Return the id of the newest event: pass it as `after` to miss nothing that comes after this call."""
        (entries,) = self._server.read([("XREVRANGE", self._keys.events, "+", "-", "COUNT", 1)])
        return str(entries[0][0]) if entries else "0-0"

    def of_batch(self, batch: str, *, after: str = "$") -> BatchFeed:
        """Return a batch's events after an id (as `read`), to be read one page after another, stages among them."""
        return BatchFeed(self._connection, batch, after=self.newest() if after == "$" else after)

    def follow(self, batch: str, *, after: str = "$") -> Iterator[Event]:
        """Yield a batch's events as they come, for ever."""
        feed = self.of_batch(batch, after=after)
        while True:
            yield from feed.read(block_s=FOLLOW_BLOCK_S)


class BatchFeed:
    """A batch's events, from a stream of its own: what other batches do costs its watchers nothing.

    What came before the watching began is read from the farm's stream, and has no stages. An event has the same id in
    both. What a worker of an older version does is in the farm's stream only.

    Attributes:
        after: Id up to which all events were returned.
    """

    def __init__(self, connection: LedgerConnection, batch: str, *, after: str) -> None:
        self.after = after
        self._connection, self._batch = connection, batch
        self._since = ""
        self._asked = float("-inf")

    def read(self, *, block_s: float = 0.0, count: int = PAGE) -> list[Event]:
        """Return the next events, waiting for the first up to `block_s` seconds."""
        if time.monotonic() - self._asked >= ASK_S:
            self._since = str(self._connection.server.run("watch", self._batch, WATCH_S))
            self._asked = time.monotonic()
        while place(self.after) < place(self._since):
            if found := self._history():
                return found
        stream = self._connection.keys.batch_events(self._batch)
        events = _read(self._connection, [stream], after=self.after, block_s=block_s, count=count)
        self.after = events[-1].event_id if events else self.after
        return events

    def _history(self) -> list[Event]:
        """Return the batch's events of the next page of the farm's stream, up to where the batch's own begins."""
        keys, server = self._connection.keys, self._connection.server
        (entries,) = server.read([("XRANGE", keys.events, f"({self.after}", self._since, "COUNT", PAGE)])
        self.after = str(entries[-1][0]) if len(entries) == PAGE else self._since
        return [views.event(event_id, entry) for event_id, entry in entries if entry["b"] == self._batch]


def place(event_id: str) -> tuple[int, int]:
    """Return an event's place in the stream, by which events can be compared: Redis' clock in ms, and a number."""
    at, _, number = event_id.partition("-")
    return int(at), int(number or 0)


def _read(
    connection: LedgerConnection, streams: Sequence[str], *, after: str, block_s: float, count: int
) -> list[Event]:
    """Return up to `count` events of some streams after an id, waiting for the first up to `block_s` seconds."""
    server, deadline = connection.server, time.monotonic() + block_s
    while True:
        # All streams in one command: what is in one of them is then not older than what another has not yet.
        (answer,) = server.read([("XREAD", "COUNT", count, "STREAMS", *streams, *(after for _ in streams))])
        found = [entry for entries in _by_stream(answer) for entry in entries]
        left = deadline - time.monotonic()
        if found or left <= 0:
            found.sort(key=lambda entry: place(entry[0]))
            return [views.event(event_id, entry) for event_id, entry in found[:count]]
        server.wait_for_event(streams, after, left)


def _by_stream(answer: object) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """Yield each stream's entries of an answer to XREAD, in either version of the protocol."""
    if isinstance(answer, dict):
        for pages in answer.values():
            yield [entry for page in pages for entry in page]
    elif isinstance(answer, list):
        for _, entries in answer:
            yield entries
