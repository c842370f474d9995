"""Prepares what the next jobs need before they can start, while the present one renders."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger.records import Upcoming

MOST = 2
"""Jobs that are prepared during one render."""


@dataclass(slots=True, kw_only=True)
class Prefetcher:
    """Prepares jobs that the ledger has dispatched, without claiming them.

    Which of them this worker will get is not known. Where embeddings are shared, each worker prepares its share of them
    for all; where they are not, only a worker that is alone on its lane prepares anything, since a guess would be wrong
    more often than right and costs time of the GPU.

    Attributes:
        worker: Node name, which decides the worker's share.
        shared: Whether embeddings are shared.
        upcoming: Returns the jobs that the ledger has dispatched.
        prepare: Has the renderer prepare one.
    """

    worker: str
    shared: bool
    upcoming: Callable[[], Upcoming]
    prepare: Callable[[RenderSpec], None]

    def once(self) -> int:
        """Prepare this worker's share of the next jobs; return how many there were."""
        specs = self._mine(self.upcoming())
        for spec in specs:
            self.prepare(spec)
        return len(specs)

    def _mine(self, found: Upcoming) -> Sequence[RenderSpec]:
        if found.workers <= 1:
            return found.specs[:MOST]
        if not self.shared:
            return ()
        share = zlib.crc32(self.worker.encode()) % found.workers
        return found.specs[share :: found.workers][:MOST]
