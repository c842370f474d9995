"""A batch's report in the store: its contact sheet, and the facts on it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger
from reelmill_common.prices import Prices
from reelmill_common.provenance.batch_index import make_index
from reelmill_common.report.facts import Report, gather
from reelmill_common.report.page import page, relative
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore

FOLDER = "reports"
"""Begins the keys of sheets, so that a batch's own folder holds only clips."""


def make(ledger: Ledger, store: ClipStore, batch: str, settings: Settings) -> tuple[Report, str]:
    """Write a batch's contact sheet and its facts into the store; return the facts and the key of the sheet.

    The index of its clips' fingerprints is written too: both need each clip's manifest.

    Links in a folder's sheet are relative; those in a bucket's sheet are presigned and expire.

    Raises:
        NotFound: No such batch.
        StoreError: The store refuses it.
    """
    now = time.time()
    view = ledger.batches.get(batch)
    marks = make_index(_clips(ledger, batch), store, batch)
    report = gather(view, ledger.jobs.every(batch), made_at=now, prices=Prices.of(settings), marks=marks)
    if store.links_last_s is None:
        html = page(report, link=relative)
    else:
        html = page(report, link=store.url, links_until=now + store.links_last_s)
    facts = json.dumps(report.record(), ensure_ascii=False, indent=1).encode()
    store.put(f"{FOLDER}/{batch}/facts.json", facts, content_type="application/json", replace=True)
    key = f"{FOLDER}/{batch}/sheet.html"
    store.put(key, html.encode(), content_type="text/html; charset=utf-8", replace=True)
    return report, key


def _clips(ledger: Ledger, batch: str) -> Iterator[str]:
    for job in ledger.jobs.every(batch, states=[JobState.SUCCEEDED]):
        if job.result is not None:
            yield job.result.key
