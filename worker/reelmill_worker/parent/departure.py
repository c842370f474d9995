"""The end of a worker that takes no more jobs: what it cannot finish in the time that it has, it gives back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from reelmill_common.errors import LedgerRefused, LedgerUnavailable, NotFound
from reelmill_common.ledger import Ledger

log = structlog.get_logger(__name__)

CUT_OFF_S = 1.0
"""Seconds before the end of a drain that has a limit, at which what is left is given back and the process ends."""


@dataclass(slots=True, kw_only=True)
class Departure:
    """How one worker leaves the farm. A machine that is taken away (spot) asks no second time, so it ends in time.

    Attributes:
        drain_s: Seconds from the first notice until the machine is gone; 0: it waits until all clips are done.
        connect: Returns the ledger.
        interrupt_child: Ends the render under way, as its time limit would.
    """

    worker: str
    drain_s: float
    connect: Callable[[], Ledger]
    interrupt_child: Callable[[], None]
    _until: float | None = None
    _recorded: bool = False

    def begin(self) -> None:
        """Let the time run, from the first call on. Safe in a signal handler."""
        if self.drain_s and self._until is None:
            self._until = time.monotonic() + self.drain_s

    def look(self, *, registered: bool) -> None:
        """Record the drain in the ledger once the worker is registered there, and end the process when time is up.

        Raises:
            LedgerUnavailable: Redis does not answer; the next look tries again.
            LedgerRefused: Redis refuses to record it; likewise.
        """
        until, now = self._until, time.monotonic()
        if until is not None and now >= until - CUT_OFF_S:
            self._cut_off()
        if self._recorded or not registered:
            return
        left_s = None if until is None else max(0.0, until - CUT_OFF_S - now)
        with suppress(NotFound):  # it was forgotten
            if given := self.connect().workers.drain(self.worker, left_s=left_s):
                log.warning("worker.gave_back", worker=self.worker, jobs=given, left_s=round(left_s or 0.0, 1))
                self.interrupt_child()  # nobody else may wait for this GPU
        self._recorded = True

    def retire(self, *, abrupt: bool = False) -> None:
        """Remove the worker from the ledger; if that fails, its leases run out instead.

        `abrupt`: its process ends with messages in hand.
        """
        try:
            self.connect().workers.retire(self.worker, abrupt=abrupt)
        except (LedgerUnavailable, LedgerRefused) as err:
            log.warning("worker.retire_failed", error=str(err))

    def _cut_off(self) -> None:
        log.warning("worker.cut_off", worker=self.worker, drain_s=self.drain_s)
        self.retire(abrupt=True)
        os._exit(0)  # the child dies with us
