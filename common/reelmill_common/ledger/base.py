"""What every side of the ledger stands on: the server, the names of the keys, and how a missing name is told."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reelmill_common.errors import NotFound
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import Server
from reelmill_common.text.suggestions import MOST_NAMES, did_you_mean

LIVE_S = 10.0
"""Seconds without a beat after which a worker counts as dead: pump sends nothing for it."""
MESSAGE_CHARS = 1000
"""Longest error message or reason that is kept; a traceback belongs into the log."""
TOUCH_MOST = 50
"""Jobs touched by one call of reap, cancel and retry: about 3 ms of the server's time."""


class LedgerPart:
    """A group of the ledger's methods. `Ledger` is all of them."""

    def __init__(self, redis: Redis, *, farm: str = "main", max_attempts: int = 3) -> None:
        self._server = Server(redis, Keys(farm).prefix)
        self._keys = Keys(farm)
        self._max_attempts = max_attempts

    def _clock_s(self) -> float:
        """Unix seconds on Redis' clock: hosts disagree."""
        seconds, micros = self._server.read([("TIME",)])[0]
        return int(seconds) + int(micros) / 1e6

    def _of_batch(self, function: str, batch: str, *args: str | float) -> Any:
        answer = self._server.run(function, batch, *args)
        if not answer:
            raise self._no_batch(batch)
        return answer

    def _no_batch(self, name: str) -> NotFound:
        (names,) = self._server.read([("ZREVRANGE", self._keys.batches, 0, MOST_NAMES - 1)])
        return NotFound(f"no batch {name!r}; {did_you_mean(name, names)}`reelmill status` lists those that there are")

    def _of_worker(self, function: str, worker: str, *args: str) -> None:
        if not self._server.run(function, worker, *args):
            raise NotFound(f"no worker {worker!r} is registered; it registers when it starts")


def kept(text: str) -> str:
    """Cut a message to what is kept, and replace halves of surrogate pairs, which UTF-8 cannot hold."""
    return text[:MESSAGE_CHARS].encode("utf-8", "replace").decode()
