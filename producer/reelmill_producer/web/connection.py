"""The console's connection to its farm: made when it is first needed, and refused at once while Redis is away."""

from __future__ import annotations

import threading
import time

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill

PROBE_S = 1.0
"""Seconds between two tries while Redis is away. All other requests are answered without one: they would hold a thread
each until their time is over."""


class FarmConnection:
    """Opens the SDK once, for all threads. A farm of `reelmill up` that was started anew is found again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._farm: Reelmill | None = None
        self._away = ""
        self._next_try = 0.0

    def farm(self) -> Reelmill:
        """Return the farm.

        Raises:
            LedgerUnavailable: Redis did not answer a second ago, or does not now.
            LedgerRefused: Redis refuses us.
        """
        if self._farm is not None and not self._away:
            return self._farm
        with self._lock:
            if self._farm is not None and not self._away:
                return self._farm
            if self._away and time.monotonic() < self._next_try:
                raise LedgerUnavailable(self._away)
            self._next_try = time.monotonic() + PROBE_S
        return self._opened()

    def note(self, err: LedgerUnavailable) -> None:
        """Take note that Redis did not answer: until it does, requests are refused at once."""
        with self._lock:
            if not self._away:
                self._next_try = time.monotonic() + PROBE_S
            self._away = str(err)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            farm, self._farm = self._farm, None
        if farm is not None:
            farm.close()

    def _opened(self) -> Reelmill:
        """Ask the server, with connections of its own where the farm may have another address by now."""
        try:
            if self._farm is None or self.settings.embedded:
                self.close()
                found = Reelmill(self.settings)
            else:
                found = self._farm
                found.ledger.identity(make=False)
        except LedgerUnavailable as err:
            with self._lock:
                self._away, self._next_try = str(err), time.monotonic() + PROBE_S
            raise
        with self._lock:
            self._farm, self._away = found, ""
        return found
