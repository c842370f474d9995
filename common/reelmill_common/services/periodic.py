"""What a worker's parent does now and then beside its tick, with ledger and store, on a thread of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import structlog

from reelmill_common.errors import ReelmillError
from reelmill_common.ledger import Ledger
from reelmill_common.services.background import BackgroundThread, ErrorLog
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class PeriodicTask(ABC):
    """Looks now and then whether there is something to do. Never holds up anything else.

    Attributes:
        NAME: Name of the thread.
        LOOK_S: Seconds between two looks.
        connect: Returns the ledger; a process that has one shares it, for a server has room for so many connections.
    """

    NAME: ClassVar[str]
    LOOK_S: ClassVar[float]

    settings: Settings
    connect: Callable[[Settings], Ledger] = Ledger.connect
    _thread: BackgroundThread = field(init=False)
    _errors: ErrorLog = field(default_factory=ErrorLog)
    _ledger: Ledger | None = None
    _store: ClipStore | None = None

    def __post_init__(self) -> None:
        self._thread = BackgroundThread(name=self.NAME, work=self._work, every_s=self.LOOK_S)

    @property
    @abstractmethod
    def wanted(self) -> bool:
        """Whether the settings ask for it at all."""

    @abstractmethod
    def round(self, ledger: Ledger, store: ClipStore) -> object:
        """Do a piece of it; return something true if there may be more."""

    @abstractmethod
    def log_error(self, err: ReelmillError) -> None:
        """Log what failed a round; the next look tries again."""

    def start(self) -> None:
        """Begin, once; does nothing where it is not wanted."""
        if self.wanted:
            self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._thread.wake()

    def stop(self) -> None:
        """Do no more after the piece in hand, without waiting for it."""
        self._thread.close(0)

    def _work(self) -> None:
        try:
            self._ledger = self._ledger or self.connect(self.settings)
            self._store = self._store or open_store(self.settings)
            while self.round(self._ledger, self._store) and not self._thread.closing.is_set():
                pass
            self._errors.clear()
        except ReelmillError as err:
            if self._errors.is_new(err.code):
                self.log_error(err)
