"""Archives and removes what ended `prune_hours` ago, or before where memory is short: the first worker to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from reelmill_common.archive import Pruning, due, prune
from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

HOUR_S = 3600
HOLD_S = 300.0
"""Seconds in which one worker of the farm looks once. What one that dies leaves half done is done after that."""
SHORT_SHARE = 0.6
"""Share of `maxmemory` above which batches are forgotten before their time: an alert pages at 0.8."""
EARLY_S = 600.0
"""Seconds after its end for which a batch is kept also then: who waits for it has seen its end."""


@dataclass(slots=True, kw_only=True)
class Pruner(PeriodicTask):
    """Prunes without being asked; keeps what it cannot archive.

    Attributes:
        early_s: See `EARLY_S`.
    """

    NAME = "pruner"
    LOOK_S = 60.0

    early_s: float = EARLY_S

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for pruning."""
        return bool(self.settings.prune_hours)

    def round(self, ledger: Ledger, store: ClipStore) -> list[str]:
        """Prune what is due, unless another worker has looked lately; return the batches."""
        if not ledger.retention.take_prune(turn_s=HOLD_S):
            return []
        pruned: list[str] = []
        for done in self._due(ledger, store):
            log.info("batch.pruned", batch=done.batch, fate=done.fate, archive=done.archive)
            pruned.append(done.batch)
            if self._thread.closing.is_set():
                break
        return pruned

    def _due(self, ledger: Ledger, store: ClipStore) -> Iterator[Pruning]:
        yield from prune(ledger, store, due(ledger, float(self.settings.prune_hours * HOUR_S)))
        if not ledger.overview.memory().is_short(SHORT_SHARE):
            return
        for view in due(ledger, self.early_s):
            memory = ledger.overview.memory()
            if not memory.is_short(SHORT_SHARE):
                return
            log.warning("prune.early", batch=view.name, used_bytes=memory.used_bytes, limit_bytes=memory.limit_bytes)
            yield from prune(ledger, store, [view])

    def log_error(self, err: ReelmillError) -> None:
        """Warn: what cannot be archived is kept, possibly for long."""
        log.warning("prune.failed", code=err.code, error=str(err)[:200])
