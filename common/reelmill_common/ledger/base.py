"""What every part of the ledger stands on: the server, the names of the keys, and the errors for unknown names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.errors import NotFound
from reelmill_common.jobs import JobState
from reelmill_common.ledger import views
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import Server
from reelmill_common.text.suggestions import MOST_NAMES, did_you_mean

T = TypeVar("T")

LIVE_S = 10.0
"""Seconds without a beat after which a worker counts as dead: pump sends nothing for it."""
MESSAGE_CHARS = 1000
"""Longest error message or reason that is kept; a traceback belongs into the log."""
RECALL_STEPS = 100
"""Steps of `recall` that one caller does, each of about 50 jobs."""
TOUCH_MOST = 50
"""Jobs touched by one call of reap, cancel and retry: about 3 ms of the server's time."""


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """What all parts of a ledger share. `max_attempts` are the failures after which a job is not tried again."""

    server: Server
    keys: Keys
    max_attempts: int


class LedgerPart:
    """A group of the ledger's methods that has a name: `ledger.jobs`, `ledger.batches` and so on."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._server = connection.server
        self._keys = connection.keys
        self._max_attempts = connection.max_attempts

    def _now(self) -> datetime:
        """Return the time on Redis' clock, in UTC: hosts disagree."""
        seconds, micros = self._server.read([("TIME",)])[0]
        return from_milliseconds((int(seconds) + int(micros) / 1e6) * 1000)

    def _of_job(self, function: str, job_id: str, *args: str | float) -> JobState:
        letter = self._server.run(function, job_id, *args)
        if letter is None:
            raise NotFound(f"no job {job_id}")
        return views.STATES[letter]

    def _of_batch(self, function: str, batch: str, *args: str | float) -> Any:
        answer = self._server.run(function, batch, *args)
        if not answer:
            raise self._no_batch(batch)
        return answer

    def _no_batch(self, name: str) -> NotFound:
        meant = did_you_mean(name, batch_names(self._server, self._keys))
        return NotFound(f"no batch {name!r}; {meant}`reelmill status` lists the batches")

    def _of_worker(self, function: str, worker: str, *args: str) -> int:
        answer: int = self._server.run(function, worker, *args)
        if not answer:
            raise NotFound(f"no worker {worker!r} is registered; it registers when it starts")
        return answer


def batch_names(server: Server, keys: Keys) -> list[str]:
    """Return the names of the newest batches, to suggest the one that is meant by an unknown name."""
    names: list[str] = server.read([("ZREVRANGE", keys.batches, 0, MOST_NAMES - 1)])[0]
    return names


def pages_of(items: Sequence[T], length: int) -> list[Sequence[T]]:
    """Cut a sequence into pages of at most so many items: a call of a few milliseconds each."""
    return [items[start : start + length] for start in range(0, len(items), length)]


def recall(server: Server) -> None:
    """Go on with taking back what batches had dispatched when they were paused, or their policy changed.

    None of it can be claimed meanwhile. Ends after so many steps: a worker's tick goes on.
    """
    for _ in range(RECALL_STEPS):
        if not server.run("recall"):
            return


def kept(text: str) -> str:
    """Cut a message to what is kept, and replace halves of surrogate pairs, which UTF-8 cannot hold."""
    return text[:MESSAGE_CHARS].encode("utf-8", "replace").decode()
