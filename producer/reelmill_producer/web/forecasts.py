"""Forecasts: the plan of the farm, made once for all requests of some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime

from reelmill_common.calendar.windows import Windows
from reelmill_common.forecast import Aims
from reelmill_producer.analysis.plans import FarmForecast, Forecast, plan_of
from reelmill_producer.client import Reelmill

KEPT_S = 5.0
MOST_SPANS = 100


class Forecaster:
    """Makes the forecast of a farm when it is asked for, at most every few seconds, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: FarmForecast | None = None
        self._made_at = 0.0

    def plan(self, farm: Reelmill, *, anew: bool = False) -> FarmForecast:
        """Return the forecast of some seconds ago at most, or one of now."""
        with self._lock:
            if anew or self._made is None or time.monotonic() - self._made_at > KEPT_S:
                self._made = plan_of(farm.ledger, depth=farm.settings.dispatch_depth, aims=Aims.of(farm.settings))
                self._made_at = time.monotonic()
            return self._made

    def finish_of(self, farm: Reelmill, batch: str, *, anew: bool = False) -> float | None:
        """Return when a batch will be done, in Unix seconds; None if that is not known."""
        found = next((one for one in self.plan(farm, anew=anew).batches if one.batch == batch), None)
        return None if found is None or found.finish_at is None else found.finish_at.timestamp()


def open_spans(forecast: Forecast, now: datetime) -> Iterator[tuple[float, float]]:
    """Yield the times, in Unix seconds, from now to the batch's end, at which its window is open."""
    if not forecast.window or forecast.finish_at is None:
        return
    windows, at = Windows.parse(forecast.window), now
    for _ in range(MOST_SPANS):
        if at >= forecast.finish_at:
            return
        change = windows.next_change(at)
        end = forecast.finish_at if change is None else min(change, forecast.finish_at)
        if windows.open_at(at):
            yield at.timestamp(), end.timestamp()
        at = end
