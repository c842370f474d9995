"""The maker of reports: when a batch ends, the first worker parent to look writes its sheet into the store."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import structlog

from reelmill_common.errors import NotFound, ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.prices import Prices
from reelmill_common.report.facts import Report, gather
from reelmill_common.report.page import page, relative
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

FOLDER = "reports"
"""Begins the keys of sheets, so that a batch's own folder holds clips and nothing else."""
TURN_S = 120.0
"""Seconds that one maker has for a report before another tries."""


def make(ledger: Ledger, store: ClipStore, batch: str, settings: Settings) -> tuple[Report, str]:
    """Write a batch's contact sheet and its facts into the store; return the facts and the key of the sheet.

    The links of a folder's sheet are relative; those of a bucket's are presigned and end.

    Raises:
        NotFound: No such batch.
        StoreError: The store does not take it.
    """
    now = time.time()
    report = gather(ledger.batch(batch), ledger.every_job(batch), made_at=now, prices=Prices.of(settings))
    if store.links_last_s is None:
        html = page(report, link=relative)
    else:
        html = page(report, link=store.url, links_until=now + store.links_last_s)
    facts = json.dumps(report.record(), ensure_ascii=False, indent=1).encode()
    store.put(f"{FOLDER}/{batch}/facts.json", facts, content_type="application/json", replace=True)
    key = f"{FOLDER}/{batch}/sheet.html"
    store.put(key, html.encode(), content_type="text/html; charset=utf-8", replace=True)
    return report, key


@dataclass(slots=True, kw_only=True)
class Maker(PeriodicTask):
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
        taken = ledger.take_report(turn_s=TURN_S)
        if taken is None:
            return ""
        batch, ended = taken
        try:
            _, key = make(ledger, store, batch, self.settings)
        except NotFound:  # pruned meanwhile
            return batch
        ledger.report_made(batch, ended, key)
        log.info("report.made", batch=batch, key=key)
        return batch

    def complain(self, err: ReelmillError) -> None:
        """Keep quiet: the deliveries tell of a store that is down."""
        log.debug("report.failed", code=err.code, error=str(err)[:200])
