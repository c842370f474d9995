"""Keeps a copy of the farm's record in the store: one worker at a time looks whether something has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

import structlog

from reelmill_common.archive import archive, due
from reelmill_common.errors import InvalidJob, NotFound, ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.services.periodic import PeriodicTask
from reelmill_common.services.record_copy import copy_key, copy_text
from reelmill_common.storage import ClipStore

log = structlog.get_logger(__name__)

TURN_S = 50.0
"""Seconds in which one worker of the farm looks once."""
REST_S = 600.0
"""Seconds after a batch's end before it is archived: a person may retry its failures first."""
AT_ONCE = 20
"""Batches that one look archives."""


@dataclass(slots=True, kw_only=True)
class RecordKeeper(PeriodicTask):
    """Archives batches that have ended, and copies what people made."""

    NAME = "record"
    LOOK_S = 60.0
    _kept: str = field(default="")

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for it."""
        return self.settings.record == "auto"

    def round(self, ledger: Ledger, store: ClipStore) -> bool:
        """Do one look, unless another worker has lately; return whether the copy was written."""
        if not ledger.restoration.take_copy(turn_s=TURN_S):
            return False
        archived = self._archive(ledger, store)
        record = ledger.restoration.record()
        identity = ledger.identity()
        digest = hashlib.sha256(json.dumps([record, archived, self._names(ledger)]).encode()).hexdigest()
        if digest == self._kept:
            return False
        store.put(copy_key(identity), copy_text(ledger, record), content_type="application/gzip", replace=True)
        self._kept = digest
        return True

    def _archive(self, ledger: Ledger, store: ClipStore) -> list[str]:
        found = [view for view in due(ledger, REST_S) if not ledger.retention.archive_of(view)][:AT_ONCE]
        for view in found:
            try:
                key = archive(ledger, store, view.name)
            except (InvalidJob, NotFound):  # it went on, or was pruned meanwhile
                continue
            log.info("batch.archived", batch=view.name, key=key)
        return [view.name for view in found]

    @staticmethod
    def _names(ledger: Ledger) -> list[str]:
        return [f"{view.name} {view.total}" for view in ledger.batches.all()]

    def log_error(self, err: ReelmillError) -> None:
        """Warn: until the next look the store knows less than Redis."""
        log.warning("record.not_copied", code=err.code, error=str(err)[:200])
