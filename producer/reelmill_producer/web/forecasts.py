"""Forecasts: the plan of the farm, made once for all requests of some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

from reelmill_common.calendar.windows import Windows
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
        self._ends: Mapping[str, float | None] = {}

    def plan(self, farm: Reelmill, *, anew: bool = False) -> FarmForecast:
        """Return the forecast of some seconds ago at most, or one of now."""
        with self._lock:
            return self._present(farm, anew=anew)

    def ends(self, farm: Reelmill, *, anew: bool = False) -> Mapping[str, float | None]:
        """Return when each batch of the forecast will be done, in Unix seconds; None where that is not known."""
        with self._lock:
            self._present(farm, anew=anew)
            return self._ends

    def finish_of(self, farm: Reelmill, batch: str, *, anew: bool = False) -> float | None:
        """Return when a batch will be done, in Unix seconds; None if that is not known."""
        return self.ends(farm, anew=anew).get(batch)

    def _present(self, farm: Reelmill, *, anew: bool) -> FarmForecast:
        if anew or self._made is None or time.monotonic() - self._made_at > KEPT_S:
            self._made = plan_of(farm.ledger, depth=farm.settings.dispatch_depth)
            self._made_at = time.monotonic()
            self._ends = {
                one.batch: None if one.finish_at is None else one.finish_at.timestamp() for one in self._made.batches
            }
        return self._made


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
