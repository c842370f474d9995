"""Does what the timetable makes due: every worker's parent runs one round after another. There is no leader.

A change that is due is made by a compare-and-set on its time, so that the first process makes it, and no other. The
submit of a run can be cut off anywhere: the next ticker finishes it, since submitting again adds only what is missing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.errors import InvalidJob, JobConflict, NotFound
from reelmill_common.ledger import Ledger, WorkerState
from reelmill_common.ledger.timetable import Due
from reelmill_common.schedules import batch_name, unpack
from reelmill_common.services.background import ErrorLog

log = structlog.get_logger(__name__)

HOLD_S = 30.0
"""Seconds without a sign from a ticker in the middle of a submit before another one takes over."""
PIECES_A_ROUND = 5
"""Thousand rows that one round submits: about half a second."""


@dataclass(slots=True, kw_only=True)
class Ticker:
    """What one process does for the timetable.

    Attributes:
        worker: Node name of the worker whose own window is kept too; empty if there is none.
        window: That window; empty: the worker never rests.
    """

    worker: str = ""
    window: str = ""
    hold_s: float = HOLD_S
    _has_reported_hours: bool = False
    _pieces: dict[str, int] = field(default_factory=dict[str, int])
    _unreadable: ErrorLog = field(default_factory=ErrorLog)
    _token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def is_submitting(self) -> bool:
        """Whether it is in the middle of a submit, and the next round goes on with it."""
        return bool(self._pieces)

    def round(self, ledger: Ledger) -> None:
        """Do what is due."""
        due = ledger.timetable.due()
        self._update_windows(ledger, due)
        ledger.dispatch.sweep()
        started = self._fire(ledger, due)
        for batch in dict.fromkeys((*self._pieces, *due.runs, *started)):
            self._submit(ledger, batch)

    def keep_hours(self, ledger: Ledger, now: datetime) -> bool:
        """Report the worker's hours; return whether it rests, as it does while the ledger does not know them."""
        if self._has_reported_hours and not self.window:
            return False
        state = ledger.timetable.keep_hours(self.worker, self.window, now)
        self._has_reported_hours = state is not None  # an earlier life of the worker may have left hours behind
        return bool(self.window) and state in {None, WorkerState.RESTING}

    def _update_windows(self, ledger: Ledger, due: Due) -> None:
        for window in due.windows:
            try:
                ledger.timetable.update_windows(replace(due, windows=[window]))
            except InvalidJob as err:
                self._log_once(f"window of batch {window[0]}", err)

    def _fire(self, ledger: Ledger, due: Due) -> list[str]:
        """Begin the runs that are due; return the batches of those that this process was the first to begin."""
        started: list[str] = []
        for name, due_ms in due.schedules:
            try:
                schedule = ledger.schedules.get(name).schedule
            except NotFound:
                continue  # removed just now
            except InvalidJob as err:
                self._log_once(f"schedule {name}", err)
                continue
            run, following = schedule.run_at(from_milliseconds(float(due_ms)), due.now)
            if not ledger.schedules.fire(name, due_ms, following, run):
                continue
            if run is None:
                log.warning("schedule.missed", schedule=name, due=from_milliseconds(float(due_ms)).isoformat())
            else:
                log.info("schedule.fired", schedule=name, due=run.isoformat())
                started.append(batch_name(name, run))
        return started

    def _submit(self, ledger: Ledger, batch: str) -> None:
        """Submit some more of a run: a beat is due every second, however many rows there are."""
        try:
            run = ledger.schedules.take_run(batch, self._token, hold_s=self.hold_s)
            begun = self._pieces.pop(batch, 0)
            if run is None:
                return  # done, or we were too slow and another ticker does it
            for index in range(begun, begun + PIECES_A_ROUND):
                piece = ledger.schedules.piece(run.rows, index)
                if piece is None:
                    ledger.schedules.end_run(batch, self._token)
                    log.info("schedule.submitted", batch=batch, schedule=run.schedule)
                    return
                ledger.batches.submit(run.batch, unpack(piece, batch))
            self._pieces[batch] = begun + PIECES_A_ROUND
        except (InvalidJob, JobConflict, NotFound) as err:  # not found: a batch that it should wait for
            ledger.schedules.end_run(batch, self._token, str(err))
            log.error("schedule.failed", batch=batch, code=err.code, error=str(err))  # noqa: TRY400 - no bug of ours

    def _log_once(self, what: str, err: InvalidJob) -> None:
        """Log once what this host cannot read: another one may, and the rest of the round goes on."""
        if self._unreadable.is_new(what):
            log.error("timetable.unreadable", what=what, error=str(err))
