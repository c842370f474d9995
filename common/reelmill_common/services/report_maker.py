"""Makes a report when a batch ends: the first worker's parent to look writes its contact sheet into the store."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from reelmill_common.errors import NotFound, ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.report.write import make
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

HOLD_S = 600.0
"""Seconds that one worker has for a report before another tries: the manifests of 100,000 clips take minutes."""


@dataclass(slots=True, kw_only=True)
class ReportMaker(PeriodicTask):
    """Makes the reports that are due. One that failed, since the store is down, is tried again."""

    NAME = "reports"
    LOOK_S = 60.0

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for reports."""
        return self.settings.report == "auto"

    def round(self, ledger: Ledger, store: ClipStore) -> str:
        """Make one report if any is due; return its batch."""
        taken = ledger.batches.take_report(turn_s=HOLD_S)
        if taken is None:
            return ""
        batch, ended = taken
        try:
            _, key = make(ledger, store, batch, self.settings)
        except NotFound:  # pruned meanwhile
            return batch
        ledger.batches.report_made(batch, ended, key)
        log.info("report.made", batch=batch, key=key)
        return batch

    def log_error(self, err: ReelmillError) -> None:
        """Say little: the deliveries report a store that is down."""
        log.debug("report.failed", code=err.code, error=str(err)[:200])
