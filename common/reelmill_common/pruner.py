"""The pruner: archives and forgets what ended `prune_days` ago, by whichever worker is first."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import structlog

from reelmill_common.archive import due, prune
from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store

log = structlog.get_logger(__name__)

DAY_S = 86_400
TURN_S = 3600.0
"""Seconds in which one worker of the farm looks once. One that dies in the middle is finished in the next turn."""
LOOK_S = 60.0


@dataclass(slots=True, kw_only=True)
class Pruner:
    """A thread of a worker's parent. Never holds up anything else; what it cannot archive it keeps."""

    settings: Settings
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once; does nothing where nothing is to be pruned."""
        if self._thread is None and self.settings.prune_days:
            self._thread = threading.Thread(target=self._keep_going, name="pruner", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Prune no more after the batch in hand."""
        self._stopping.set()

    def round(self, ledger: Ledger, store: ClipStore) -> list[str]:
        """Prune what is due, if it is our turn; return the batches."""
        if not ledger.take_prune(turn_s=TURN_S):
            return []
        older_s = float(self.settings.prune_days * DAY_S)
        pruned: list[str] = []
        for done in prune(ledger, store, due(ledger, older_s)):
            log.info("batch.pruned", batch=done.batch, fate=done.fate, archive=done.archive)
            pruned.append(done.batch)
            if self._stopping.is_set():
                break
        for worker in ledger.prune_workers(older_s):
            log.info("worker.pruned", worker=worker)
        return pruned

    def _keep_going(self) -> None:
        ledger, store = None, None
        while not self._stopping.wait(LOOK_S):
            try:
                ledger = ledger or Ledger.connect(self.settings)
                store = store or open_store(self.settings)
                self.round(ledger, store)
            except ReelmillError as err:
                log.warning("prune.failed", code=err.code, error=str(err)[:200])
            except Exception:
                log.exception("prune.bug")
