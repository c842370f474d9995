"""Schedules: prompt files that are submitted again and again by a cron expression, and their runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.errors import InvalidDocument, InvalidJob, JobConflict, LedgerUnavailable, NotFound
from reelmill_common.jobs import Batch
from reelmill_common.ledger.base import LedgerPart, kept
from reelmill_common.schedules import Schedule, ScheduledRow, ScheduleView, batch_name, pack, run_batch
from reelmill_common.text.suggestions import did_you_mean
from reelmill_common.text.untrusted_json import read_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a schedule that we submit: its batch, and where its rows are."""

    batch: Batch
    schedule: str
    rows: str


class Schedules(LedgerPart):
    """Keeps schedules, the rows that they submit, and their runs. All times are on Redis' clock."""

    def add(self, schedule: Schedule, rows: Iterable[ScheduledRow], *, replace: bool = False) -> ScheduleView:
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
            milliseconds(schedule.cron.next_after(self._now())),
        )
        if not answer:
            raise JobConflict(_taken(schedule.name))
        if answer < 0:
            raise LedgerUnavailable(f"the rows of schedule {schedule.name!r} were lost on the way; add it again")
        return self.get(schedule.name)

    def get(self, name: str) -> ScheduleView:
        """Return one schedule."""
        found = self._schedules([name])
        if not found:
            raise self._no_schedule(name)
        return found[0]

    def all(self) -> list[ScheduleView]:
        """Return all schedules, by name."""
        return self._schedules(sorted(self._schedule_names()))

    def remove(self, name: str) -> None:
        """Remove a schedule; its batches stay."""
        self._of_schedule("schedule_remove", name)

    def pause(self, name: str) -> None:
        """Begin no more runs of a schedule."""
        self._of_schedule("schedule_pause", name, "")

    def resume(self, name: str) -> None:
        """Go on with a schedule from its next run; those that its pause held back are left out."""
        following = self.get(name).schedule.cron.next_after(self._now())
        self._of_schedule("schedule_pause", name, milliseconds(following))

    def run(self, name: str) -> str:
        """Begin a run by hand and return its batch; the next worker's tick submits it."""
        batch = batch_name(name, self._now())
        self._of_schedule("schedule_fire", name, "", "", batch)
        return batch

    def fire(self, name: str, due: str, following: datetime, run: datetime | None) -> bool:
        """Begin a run that is due, or pass over it; return whether we were the first to do so."""
        batch = "" if run is None else batch_name(name, run)
        return bool(self._server.run("schedule_fire", name, due, milliseconds(following), batch))

    def take_run(self, batch: str, token: str, *, hold_s: float) -> Run | None:
        """Take up a run, or keep it, for some seconds; None if another process has it or it is done.

        Raises:
            InvalidJob: This version does not know its policy.
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
        """Note that a run is submitted, or why it never will be; False if another process has it now."""
        return bool(self._server.run("run_done", batch, token, kept(error)))

    def _of_schedule(self, function: str, name: str, *args: str | float) -> None:
        if not self._server.run(function, name, *args):
            raise self._no_schedule(name)

    def _no_schedule(self, name: str) -> NotFound:
        asked = did_you_mean(name, self._schedule_names())
        return NotFound(f"no schedule {name!r}; {asked}`reelmill schedule list` lists them")

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
    return f"schedule {name!r} exists already; take another name, or replace it with --replace"
