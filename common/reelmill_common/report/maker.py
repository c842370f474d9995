"""The maker of reports: when a batch ends, the first worker parent to look writes its sheet into the store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from reelmill_common.errors import NotFound, ReelmillError
from reelmill_common.ledger import JobView, Ledger
from reelmill_common.prices import Prices
from reelmill_common.report.facts import Report, gather
from reelmill_common.report.page import page, relative
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_common.storage.folder import FolderStore

log = structlog.get_logger(__name__)

FOLDER = "reports"
"""Begins the keys of sheets, so that a batch's own folder holds clips and nothing else."""
TURN_S = 120.0
"""Seconds that one maker has for a report before another tries."""
LOOK_S = 3.0
PAGE = 1000
"""Jobs that are read at once."""


def make(ledger: Ledger, store: ClipStore, batch: str, settings: Settings) -> tuple[Report, str]:
    """Write a batch's contact sheet and its facts into the store; return the facts and the key of the sheet.

    The links of a folder's sheet are relative; those of a bucket's are presigned and end after `settings.presign_s`.

    Raises:
        NotFound: No such batch.
        StoreError: The store does not take it.
    """
    now = time.time()
    report = gather(ledger.batch(batch), jobs_of(ledger, batch), made_at=now, prices=Prices.of(settings))
    if isinstance(store, FolderStore):
        html = page(report, link=relative)
    else:
        html = page(report, link=store.url, links_until=now + settings.presign_s)
    facts = json.dumps(report.record(), ensure_ascii=False, indent=1).encode()
    store.put(f"{FOLDER}/{batch}/facts.json", facts, content_type="application/json", replace=True)
    key = f"{FOLDER}/{batch}/sheet.html"
    store.put(key, html.encode(), content_type="text/html; charset=utf-8", replace=True)
    return report, key


def jobs_of(ledger: Ledger, batch: str) -> Iterator[JobView]:
    """Yield all jobs of a batch in the order of submission."""
    start = 0
    while found := ledger.jobs(batch, start=start, count=PAGE):
        yield from found
        start += len(found)


@dataclass(slots=True, kw_only=True)
class Maker:
    """A thread of a worker's parent that makes the reports which are due. Never holds up anything else.

    A report that cannot be made, since the store is down, is tried again by whoever comes next.
    """

    settings: Settings
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once; does nothing where reports are off."""
        if self._thread is None and self.settings.report == "auto":
            self._thread = threading.Thread(target=self._keep_going, name="reports", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Make no more; one that is being made is made again by another."""
        self._stopping.set()

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

    def _keep_going(self) -> None:
        ledger, store = None, None
        while not self._stopping.wait(LOOK_S):
            try:
                ledger = ledger or Ledger.connect(self.settings)
                store = store or open_store(self.settings)
                while self.round(ledger, store) and not self._stopping.is_set():
                    pass
            except ReelmillError as err:
                log.debug("report.failed", code=err.code, error=str(err)[:200])
            except Exception:
                log.exception("report.bug")
