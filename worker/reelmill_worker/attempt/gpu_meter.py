"""The meter of one attempt: what it takes of the GPU from its beginning to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from reelmill_common.ledger import Spent

Ask = Callable[[], Future[float | None]]
"""Asks, without waiting for the answer, what the card has drawn since some moment in the past; None if it does not
tell. NVML takes 2.5 to 25 ms to say so (H100): the GPU would wait for it before and after each render."""

ANSWER_S = 10.0
"""Longest wait for an answer: a clip is worth more than what it drew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What a meter showed at its end, once the card has answered."""

    seconds: float
    before: Future[float | None]
    after: Future[float | None]

    def spent(self) -> Spent:
        """Return what was taken, waiting for the card. Energy that it does not tell is None, never 0."""
        before, after = _answer(self.before), _answer(self.after)
        drawn = None if before is None or after is None else after - before
        # A counter that has not moved, or began anew with its driver, has told nothing.
        return Spent(gpu_s=round(self.seconds, 4), energy_j=round(drawn, 3) if drawn and drawn > 0 else None)


def _answer(asked: Future[float | None]) -> float | None:
    with suppress(TimeoutError):
        return asked.result(ANSWER_S)
    return None


class Meter:
    """Started when it is made."""

    def __init__(self, ask: Ask) -> None:
        """Begin to measure."""
        self._ask = ask
        self._before = ask()
        self._started = time.monotonic()

    def stop(self, *, gpu_s: float | None = None) -> MeterReading:
        """End the measurement; returns at once.

        Args:
            gpu_s: Seconds of the GPU, if they are known better than as all that have passed.
        """
        seconds = time.monotonic() - self._started if gpu_s is None else gpu_s
        return MeterReading(seconds=seconds, before=self._before, after=self._ask())
