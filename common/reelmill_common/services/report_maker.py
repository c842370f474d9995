"""Reports by themselves: when a batch ends, the first worker parent to look writes its sheet into the store."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from reelmill_common.errors import NotFound, ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.report.write import make
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

TURN_S = 120.0
"""Seconds that one maker has for a report before another tries."""


@dataclass(slots=True, kw_only=True)
class ReportMaker(PeriodicTask):
    """Makes the reports which are due.

    A report that cannot be made, since the store is down, is tried again by whoever comes next.
    """

    NAME = "reports"
    LOOK_S = 3.0

    @property
    def wanted(self) -> bool:
        """Whether reports are made by themselves."""
        return self.settings.report == "auto"

    def round(self, ledger: Ledger, store: ClipStore) -> str:
        """Make one report if any is due; return its batch."""
        taken = ledger.batches.take_report(turn_s=TURN_S)
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

    def complain(self, err: ReelmillError) -> None:
        """Keep quiet: the deliveries tell of a store that is down."""
        log.debug("report.failed", code=err.code, error=str(err)[:200])
