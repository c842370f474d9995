"""The timetable: what happens at a time of its own. Windows open and shut, workers rest, schedules run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.timestamps import milliseconds, moment_of
from reelmill_common.calendar.windows import Windows
from reelmill_common.errors import InvalidDocument, InvalidJob, JobConflict, LedgerUnavailable, NotFound
from reelmill_common.jobs import Batch
from reelmill_common.ledger.backlog import Backlog, loads
from reelmill_common.ledger.base import LedgerPart, kept
from reelmill_common.ledger.records import WorkerState
from reelmill_common.schedules import Schedule, ScheduledRow, ScheduleView, batch_name, pack, run_batch
from reelmill_common.text.suggestions import did_you_mean
from reelmill_common.text.untrusted_json import read_object

DUE_MOST = 50
"""Windows, schedules and runs that one round looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is due now.

    Attributes:
        now: Redis' clock, in UTC.
        windows: Batch, window as written and the moment of its change in milliseconds, as Redis writes it.
        schedules: Name, and moment of the run likewise.
        runs: Batches of runs whose submit nobody does.
    """

    now: datetime
    windows: Sequence[tuple[str, str, str]]
    schedules: Sequence[tuple[str, str]]
    runs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a schedule that we submit: its batch, and where its rows are."""

    batch: Batch
    schedule: str
    rows: str


class Timetable(LedgerPart):
    """Windows and schedules. All times are on Redis' clock."""

    def now(self) -> datetime:
        """Return what Redis' clock shows."""
        return moment_of(self._clock_s() * 1000)

    def due(self) -> Due:
        """Ask what is due; changes nothing."""
        now, windows, schedules, runs = self._server.run("due", DUE_MOST)
        return Due(
            now=moment_of(now),
            windows=list(zip(windows[::3], windows[1::3], windows[2::3], strict=True)),
            schedules=list(zip(schedules[::2], schedules[1::2], strict=True)),
            runs=runs,
        )

    # -- windows -------------------------------------------------------------------------------------------------

    def loads(self) -> Backlog:
        """Return what is left to do, and who is there to do it."""
        return loads(self._server.run("loads"))

    def set_window(self, batch: str, window: str) -> None:
        """Give a batch a window, or none (empty); acts on the next clip that starts.

        Raises:
            NotFound: No such batch.
            InvalidJob: It is not a window.
        """
        self._of_batch("window", batch, window and Windows.parse(window).text, *_state(window, self.now()))

    def look_at_window(self, batch: Batch) -> None:
        """Open a batch that has just been made, if its window is open: until somebody has looked, it is shut."""
        self._server.run("turn", batch.name, batch.window, 0, *_state(batch.window, self.now()))

    def turn_windows(self, due: Due | None = None) -> int:
        """Open and shut the batches whose windows changed; return how many that were."""
        due = due or self.due()
        calls = [(batch, window, moment, *_state(window, due.now)) for batch, window, moment in due.windows]
        return sum(self._server.run_many("turn", calls)) if calls else 0

    def hours(self, worker: str, window: str, now: datetime) -> WorkerState | None:
        """Let a worker rest or work by its own window; return its state, or None if it is not registered.

        It rests, too, as soon as a clip would not be done before the window shuts.
        """
        until = ""
        if window:
            windows = Windows.parse(window)
            shuts = windows.next_change(now)
            is_open = windows.open_at(now)
            until = "" if is_open and shuts is None else str(milliseconds(shuts) if is_open and shuts else 0)
        state = self._server.run("hours", worker, until, window)
        return None if state is None else WorkerState(state)

    # -- schedules -----------------------------------------------------------------------------------------------

    def add_schedule(self, schedule: Schedule, rows: Iterable[ScheduledRow], *, replace: bool = False) -> ScheduleView:
        """Enter a schedule with the rows that it submits; its first run is the next one by its cron expression.

        Raises:
            JobConflict: There is one of that name, and `replace` was not asked for.
            InvalidJob: There are more rows than are kept.
        """
        if not replace and schedule.name in self._schedule_names():
            raise JobConflict(_taken(schedule.name))
        named, jobs = f"{schedule.name}:{uuid.uuid4().hex}", 0
        for piece, count in pack(rows):
            self._server.run("schedule_rows", named, piece)
            jobs += count
        if not jobs:
            raise InvalidJob(f"schedule {schedule.name!r} has no rows; give at least one prompt")
        answer = self._server.run(
            "schedule_put",
            schedule.name,
            int(replace),
            schedule.cron.expression,
            schedule.cron.zone.key,
            schedule.catch_up,
            json.dumps(dict(schedule.policy)),
            named,
            jobs,
            milliseconds(schedule.cron.next_after(self.now())),
        )
        if not answer:
            raise JobConflict(_taken(schedule.name))
        if answer < 0:
            raise LedgerUnavailable(f"the rows of schedule {schedule.name!r} were lost on the way; add it again")
        return self.schedule(schedule.name)

    def schedule(self, name: str) -> ScheduleView:
        """Return one schedule. Raises `NotFound`."""
        found = self._schedules([name])
        if not found:
            raise self._no_schedule(name)
        return found[0]

    def schedules(self) -> list[ScheduleView]:
        """Return all schedules, by name."""
        return self._schedules(sorted(self._schedule_names()))

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule; its batches stay. Raises `NotFound`."""
        self._of_schedule("schedule_remove", name)

    def pause_schedule(self, name: str) -> None:
        """Begin no more runs of a schedule. Raises `NotFound`."""
        self._of_schedule("schedule_pause", name, "")

    def resume_schedule(self, name: str) -> None:
        """Go on with a schedule from its next run; those that its pause held back are left out. Raises `NotFound`."""
        following = self.schedule(name).schedule.cron.next_after(self.now())
        self._of_schedule("schedule_pause", name, milliseconds(following))

    def run_schedule(self, name: str) -> str:
        """Begin a run by hand and return its batch; whoever ticks submits it. Raises `NotFound`."""
        batch = batch_name(name, self.now())
        self._of_schedule("schedule_fire", name, "", "", batch)
        return batch

    def fire(self, name: str, due: str, following: datetime, run: datetime | None) -> bool:
        """Begin a run that is due, or pass over it; return whether we were the first to do so."""
        batch = "" if run is None else batch_name(name, run)
        return bool(self._server.run("schedule_fire", name, due, milliseconds(following), batch))

    # -- runs ----------------------------------------------------------------------------------------------------

    def take_run(self, batch: str, token: str, *, hold_s: float) -> Run | None:
        """Take up a run, or keep it, for some seconds; None if somebody else has it or it is done.

        Raises:
            InvalidJob: Its policy is none that this version knows.
        """
        answer = self._server.run("run_take", batch, token, int(hold_s * 1000))
        if answer is None:
            return None
        schedule, policy, rows = answer
        try:
            return Run(batch=run_batch(batch, read_object(policy, "its policy")), schedule=schedule, rows=rows)
        except (TypeError, InvalidDocument) as err:
            raise InvalidJob(f"{err}; is this worker older than the producer?") from err

    def piece(self, rows: str, index: int) -> str | None:
        """Return one piece of a schedule's rows, counted from 0; None after the last one."""
        (piece,) = self._server.read([("LINDEX", self._keys.rows(rows), index)])
        return None if piece is None else str(piece)

    def run_ended(self, batch: str) -> bool:
        """Whether a run's submit has ended, well or not."""
        return self._server.read([("ZSCORE", self._keys.runs, batch)])[0] is None

    def end_run(self, batch: str, token: str, error: str = "") -> bool:
        """Say that a run is submitted, or why it never will be; False if it is somebody else's now."""
        return bool(self._server.run("run_done", batch, token, kept(error)))

    def _of_schedule(self, function: str, name: str, *args: str | float) -> None:
        if not self._server.run(function, name, *args):
            raise self._no_schedule(name)

    def _no_schedule(self, name: str) -> NotFound:
        asked = did_you_mean(name, self._schedule_names())
        return NotFound(f"no schedule {name!r}; {asked}`reelmill schedule list` shows those that there are")

    def _schedule_names(self) -> set[str]:
        (names,) = self._server.read([("SMEMBERS", self._keys.schedule_names)])
        return set(names)

    def _schedules(self, names: Sequence[str]) -> list[ScheduleView]:
        commands = [
            command
            for name in names
            for command in (("HGETALL", self._keys.schedule(name)), ("ZSCORE", self._keys.schedules, name))
        ]
        answers = self._server.read(commands)
        pairs = zip(names, answers[::2], answers[1::2], strict=True)
        return [_view(name, fields, due) for name, fields, due in pairs if fields]


@lru_cache(maxsize=256)  # many batches have the same window
def _state(window: str, now: datetime) -> tuple[str, str | int]:
    """Return what the functions want to know of a window: whether it is shut, and its next change."""
    if not window:
        return "0", ""
    windows = Windows.parse(window)
    change = windows.next_change(now)
    return "0" if windows.open_at(now) else "1", "" if change is None else milliseconds(change)


def _view(name: str, fields: dict[str, Any], due: str | None) -> ScheduleView:
    return ScheduleView(
        schedule=Schedule(
            name=name,
            cron=Cron.parse(fields["cron"], fields["zone"]),
            catch_up=fields["catch_up"],
            policy=read_object(fields["policy"], f"the policy of schedule {name}"),
        ),
        jobs=int(fields["jobs"]),
        paused=fields["paused"] == "1",
        created_at=int(fields["created"]) / 1000,
        next_at=None if due is None else float(due) / 1000,
        last_at=int(fields["last"]) / 1000 if "last" in fields else None,
        last_batch=fields.get("last_batch", ""),
        error=fields.get("error", ""),
    )


def _taken(name: str) -> str:
    return f"schedule {name!r} is there already; take another name, or replace it with --replace"
