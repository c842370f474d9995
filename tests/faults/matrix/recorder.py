"""Records the farm's event stream as it happens, from a connection that no fault touches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.ledger import Event, Ledger

T = TypeVar("T")

BLOCK_S = 0.5
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event.

    Attributes:
        at_s: Unix seconds on the server's clock, which is this machine's.
    """

    at_s: float
    name: str
    job_id: str
    worker: str
    stage: str
    attempt: int


@dataclass(slots=True, kw_only=True)
class EventRecorder:
    """A thread that follows the stream over restarts of its server."""

    ledger: Ledger
    records: list[EventRecord] = field(default_factory=list[EventRecord])
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when everything that has happened is written down."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def wait_for(self, find: Callable[[list[EventRecord]], T | None], *, after: int, timeout_s: float) -> T | None:
        """Look at the records from number `after` on until something is found; None when the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = find(self.records[after:])
                left_s = deadline - time.monotonic()
                if found is not None or left_s <= 0:
                    return found
                self._changed.wait(left_s)

    def _follow(self) -> None:
        after = "0"
        while True:
            try:
                events = self.ledger.events.read(after=after, block_s=0 if self._stopping.is_set() else BLOCK_S)
            except LedgerUnavailable:
                if self._stopping.wait(PAUSE_S):
                    return
                continue
            if events:
                after = events[-1].event_id
                with self._changed:
                    self.records += [_record(event) for event in events]
                    self._changed.notify_all()
            elif self._stopping.is_set():
                return


def _record(event: Event) -> EventRecord:
    return EventRecord(
        at_s=int(event.event_id.partition("-")[0]) / 1000,
        name=event.name,
        job_id=event.job_id,
        worker=event.worker,
        stage=event.fields.get("stage", ""),
        attempt=int(event.fields.get("attempt", 0)),
    )
