"""Chores: what a worker's parent does now and then beside its tick, with ledger and store, on a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import structlog

from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class PeriodicTask(ABC):
    """Looks now and then whether there is something to do. Never holds up anything else.

    Attributes:
        NAME: Of the thread.
        LOOK_S: Seconds between two looks.
    """

    NAME: ClassVar[str]
    LOOK_S: ClassVar[float]

    settings: Settings
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    @abstractmethod
    def wanted(self) -> bool:
        """Whether the settings ask for it at all."""

    @abstractmethod
    def round(self, ledger: Ledger, store: ClipStore) -> object:
        """Do a piece of it; return something true if there may be more."""

    @abstractmethod
    def complain(self, err: ReelmillError) -> None:
        """Log what kept a round from being done; the next look tries again."""

    def start(self) -> None:
        """Begin, once; does nothing where it is not wanted."""
        if self._thread is None and self.wanted:
            self._thread = threading.Thread(target=self._keep_going, name=self.NAME, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Do no more after the piece in hand."""
        self._stopping.set()

    def _keep_going(self) -> None:
        ledger, store, told = None, None, ""
        while not self._stopping.wait(self.LOOK_S):
            try:
                ledger = ledger or Ledger.connect(self.settings)
                store = store or open_store(self.settings)
                while self.round(ledger, store) and not self._stopping.is_set():
                    pass
                told = ""
            except ReelmillError as err:
                if err.code != told:  # once per trouble, not once per look
                    self.complain(err)
                told = err.code
            except Exception:
                log.exception("chore.bug", chore=self.NAME)
