"""Measures what one attempt takes of the GPU: seconds and energy."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from reelmill_common.ledger import Spent

Ask = Callable[[], Future[float | None]]
"""Asks, without waiting for the answer, for the energy that the GPU has drawn since some time in the past; None if it
does not report that. NVML takes 2.5 to 25 ms to answer (H100): the GPU would wait before and after each render."""

ANSWER_S = 10.0
"""Longest wait for an answer: a clip matters more than its energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """A finished measurement, complete once the GPU has answered."""

    seconds: float
    before: Future[float | None]
    after: Future[float | None]

    def spent(self) -> Spent:
        """Return what was taken, once the GPU has answered. Energy that it does not report is None, never 0."""
        before, after = _answer(self.before), _answer(self.after)
        drawn = None if before is None or after is None else after - before
        # A counter that has not moved, or began again with its driver, says nothing.
        return Spent(gpu_s=round(self.seconds, 4), energy_j=round(drawn, 3) if drawn and drawn > 0 else None)


def _answer(asked: Future[float | None]) -> float | None:
    with suppress(TimeoutError):
        return asked.result(ANSWER_S)
    return None


class Meter:
    """A measurement that begins when it is made."""

    def __init__(self, ask: Ask) -> None:
        """Begin to measure."""
        self._ask = ask
        self._before = ask()
        self._started = time.monotonic()

    def stop(self, *, gpu_s: float | None = None) -> MeterReading:
        """End the measurement; returns at once.

        Args:
            gpu_s: Seconds of the GPU, if they are known better than by all the time that has passed.
        """
        seconds = time.monotonic() - self._started if gpu_s is None else gpu_s
        return MeterReading(seconds=seconds, before=self._before, after=self._ask())
