"""How often one of many workers dispatches: the one that does so does it for the whole farm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

WORKERS = 32
"""A worker dispatches at each clip while the farm has at most so many, then at one of two, three and so on."""
FEWEST_SHARE = 4
"""At least at one of so many: messages for two clips a worker are sent, and a parent's tick dispatches too."""


@dataclass(slots=True, kw_only=True)
class DispatchShare:
    """Decides at which of its clips a worker dispatches.

    Attributes:
        wake: Dispatches, soon and elsewhere.
        workers: Returns how many workers the farm has, as far as this one knows.
    """

    wake: Callable[[], object]
    workers: Callable[[], int]
    _clips: int = field(default_factory=lambda: random.randrange(FEWEST_SHARE))  # noqa: S311 - only parts the workers

    def clip(self) -> None:
        """Note that a clip has begun, and dispatch if it is this worker's turn."""
        self._clips += 1
        if self._clips % max(1, min(FEWEST_SHARE, self.workers() // WORKERS)) == 0:
            self.wake()
