"""Prepares what the next jobs need before they can start, while the present one renders."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger.records import Upcoming

MOST = 2
"""Jobs that are prepared during one render."""
REST_S = 10.0
"""Seconds for which a worker that has no share of the next jobs does not ask for any."""


@dataclass(slots=True, kw_only=True)
class Prefetcher:
    """Prepares jobs that the ledger has dispatched, without claiming them.

    Which of them this worker will get is not known. Where embeddings are shared, each worker prepares its share of them
    for all; where they are not, only a worker that is alone on its lane prepares anything, since a guess would be wrong
    more often than right and costs time of the GPU.

    Attributes:
        worker: Node name, which decides the worker's share.
        shared: Whether embeddings are shared.
        upcoming: Returns the jobs that the ledger has dispatched, by the number that decides the worker's share.
        prepare: Has the renderer prepare one.
        workers: Workers of the profile, at the last look.
    """

    worker: str
    shared: bool
    upcoming: Callable[[int | None], Upcoming]
    prepare: Callable[[RenderSpec], None]
    workers: int = 0
    _rests_until: float = 0.0

    def once(self) -> int:
        """Prepare this worker's share of the next jobs; return how many there were."""
        if time.monotonic() < self._rests_until:
            return 0
        found = self.upcoming(self._number if self.shared else None)
        self.workers = found.workers
        if not found.specs and found.workers > 1:
            self._rests_until = time.monotonic() + REST_S
        specs = self._mine(found)
        for spec in specs:
            self.prepare(spec)
        return len(specs)

    @property
    def _number(self) -> int:
        return zlib.crc32(self.worker.encode())

    def _mine(self, found: Upcoming) -> Sequence[RenderSpec]:
        if found.workers <= 1:
            return found.specs[:MOST]
        if not self.shared:
            return ()
        share = self._number % found.workers
        return found.specs[share :: found.workers][:MOST]
