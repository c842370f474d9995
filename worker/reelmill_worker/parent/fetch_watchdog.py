"""Finds a worker that is ready and idle but fetches none of the waiting messages (celery#8030)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FETCH_S = 15.0
"""Seconds that messages may wait beside an idle worker. Redis hands one over in milliseconds."""

LOOKS = 5
"""Looks in that time."""

Remedy = Literal["", "resubscribe", "restart", "abort"]
"""What to do about it, mildest first: fetch under a new subscription; end the parent in order, so that the supervisor
starts it again; end it at once, since its event loop does not answer."""

_LADDER: tuple[Remedy, ...] = ("resubscribe", "restart", "abort")


@dataclass(slots=True, kw_only=True)
class FetchWatch:
    """Measures how long there has been work without any being fetched.

    Attributes:
        patience_s: Seconds from each step of the ladder to the next.
    """

    patience_s: float = FETCH_S
    _since: float | None = None
    _steps: int = 0
    _looked: float = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether it is time to look whether messages wait: several times in each step, not at every tick."""
        return now - self._looked >= self.patience_s / LOOKS

    def look(self, *, starving: bool, now: float) -> Remedy:
        """Record what is seen now; return the remedy that is due, each once.

        Args:
            starving: Messages wait in the lane, and the worker is ready and has none in hand.
            now: Seconds on the monotonic clock.
        """
        self._looked = now
        if not starving:
            self._since, self._steps = None, 0
            return ""
        if self._since is None:
            self._since = now
        due = int((now - self._since) / self.patience_s)
        if due <= self._steps or self._steps == len(_LADDER):
            return ""
        self._steps += 1
        return _LADDER[self._steps - 1]
