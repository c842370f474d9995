"""The meter of one attempt: what it takes of the GPU from its beginning to the moment of reading."""

from __future__ import annotations

import time
from collections.abc import Callable

from reelmill_common.ledger import Spent


class Meter:
    """Started when it is made."""

    def __init__(self, joules: Callable[[], float | None]) -> None:
        """Begin to measure.

        Args:
            joules: Returns what the card has drawn since some moment in the past, or None if it does not tell.
        """
        self._joules = joules
        self._before = joules()
        self._started = time.monotonic()

    def read(self, *, gpu_s: float | None = None) -> Spent:
        """Return what was taken so far. Energy that a card does not tell is None, never 0.

        Args:
            gpu_s: Seconds of the GPU, if they are known better than as all that have passed.
        """
        seconds = time.monotonic() - self._started if gpu_s is None else gpu_s
        after = self._joules()
        drawn = None if self._before is None or after is None else after - self._before
        # A counter that has not moved, or began anew with its driver, has told nothing.
        return Spent(gpu_s=round(seconds, 4), energy_j=round(drawn, 3) if drawn and drawn > 0 else None)
