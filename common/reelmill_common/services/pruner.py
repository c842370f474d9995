"""Archives and removes what ended `prune_days` ago; the first worker to look does it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from reelmill_common.archive import due, prune
from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

DAY_S = 86_400
HOLD_S = 3600.0
"""Seconds in which one worker of the farm looks once. What one that dies leaves half done is done after that."""


@dataclass(slots=True, kw_only=True)
class Pruner(PeriodicTask):
    """Prunes without being asked; keeps what it cannot archive."""

    NAME = "pruner"
    LOOK_S = 60.0

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for pruning."""
        return bool(self.settings.prune_days)

    def round(self, ledger: Ledger, store: ClipStore) -> list[str]:
        """Prune what is due, unless another worker has looked lately; return the batches."""
        if not ledger.retention.take_prune(turn_s=HOLD_S):
            return []
        older_s = float(self.settings.prune_days * DAY_S)
        pruned: list[str] = []
        for done in prune(ledger, store, due(ledger, older_s)):
            log.info("batch.pruned", batch=done.batch, fate=done.fate, archive=done.archive)
            pruned.append(done.batch)
            if self._thread.closing.is_set():
                break
        for worker in ledger.retention.prune_workers(older_s):
            log.info("worker.pruned", worker=worker)
        return pruned

    def log_error(self, err: ReelmillError) -> None:
        """Warn: what cannot be archived is kept, possibly for long."""
        log.warning("prune.failed", code=err.code, error=str(err)[:200])
