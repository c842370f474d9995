"""Outlook: a forecast that is kept for some seconds, for callers that ask again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from reelmill_common.forecast.course import Course
from reelmill_common.forecast.paces import Paces, paces_of
from reelmill_common.ledger import Ledger

KEPT_S = 5.0
"""Seconds for which a forecast is kept; longer if `DEARER` times what it took to make is more."""
PACES_KEPT_S = 60.0
DEARER = 20


@dataclass(slots=True, kw_only=True)
class Outlook:
    """The forecast of a farm, some seconds old at most. `depth` is the farm's `REELMILL_DISPATCH_DEPTH`."""

    ledger: Ledger
    depth: int = 2
    _paces: Paces = field(default_factory=Paces)
    _measure_at: float = 0.0
    _course: Course | None = None
    _play_at: float = 0.0

    def course(self) -> Course:
        """Return the course of the farm, played to its end."""
        began = time.monotonic()
        if self._course is None or began >= self._play_at:
            if began >= self._measure_at:
                self._paces = paces_of(self.ledger)
                self._measure_at = began + PACES_KEPT_S
            self._course = Course(self.ledger.overview.backlog(), self._paces, depth=self.depth)
            self._course.play()
            ended = time.monotonic()
            self._play_at = ended + max(KEPT_S, DEARER * (ended - began))
        return self._course

    @property
    def paces(self) -> Paces:
        """The paces that the last course went by."""
        return self._paces

    def left_s(self, batch: str) -> float | None:
        """Return the seconds from the ledger's reading until a batch is done; None if that is not known."""
        course = self.course()
        finish = course.finish_of(batch) if batch in course.names else None
        return None if finish is None else (finish - course.backlog.now).total_seconds()
