"""Ahead: what the next jobs need before they can start, done while the present one renders."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger.records import Upcoming

log = structlog.get_logger(__name__)

MOST = 2
"""Jobs that are prepared during one render."""


@dataclass(slots=True, kw_only=True)
class Prefetcher:
    """A thread that prepares what the ledger has dispatched, once in each render. Nothing is claimed by it.

    Which of the dispatched jobs this worker will get is not known. Where embeddings are shared, each worker prepares
    its share of them for all; where they are not, only a worker that is alone on its lane prepares anything, since a
    guess would be wrong more often than right and costs time of the GPU.

    Attributes:
        worker: Node name: decides its share.
        shared: Whether embeddings are shared.
        upcoming: Asks the ledger.
        prepare: Asks the renderer.
    """

    worker: str
    shared: bool
    upcoming: Callable[[], Upcoming]
    prepare: Callable[[RenderSpec], None]
    _wanted: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to wait for wishes."""
        threading.Thread(target=self._work, name="ahead", daemon=True).start()

    def ask(self) -> None:
        """Prepare soon: the GPU has been given its work, and this process has time."""
        self._wanted.set()

    def once(self) -> int:
        """Prepare now; return how many jobs that were."""
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

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self.once()
            except Exception as err:  # noqa: BLE001 - whatever fails here is done again when the job's turn comes
                log.debug("ahead.failed", error=f"{type(err).__name__}: {err}")
