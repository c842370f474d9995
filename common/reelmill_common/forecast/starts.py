"""Starts: what a forecast starts when, and what starts before a job that is asked about."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Target:
    """A job whose start is asked for: a dispatched one by its id, any other as the `before + 1`th of its line.

    A line is what waits of one batch on one lane at one priority.
    """

    job_id: str
    batch: str
    lane: str
    priority: int
    before: int = 0


class Start(NamedTuple):
    """Clips of a batch that a worker renders one after the other, the first from `at_s` seconds from now."""

    at_s: float
    worker: str
    batch: str
    clips: int


@dataclass(slots=True, kw_only=True)
class Position:
    """The clips that start before a job, from now on, on the workers that could take it.

    Attributes:
        own: Clips of its own batch.
        above: Clips of higher priorities, by priority.
        beside: Clips of other batches of its priority, which take turns with its own, by batch.
        below: Clips of lower priorities, which go first while it may not start.
        starts_at: When it starts; None if that is not known.
    """

    own: int = 0
    above: dict[int, int] = field(default_factory=lambda: defaultdict[int, int](int))
    beside: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    below: int = 0
    starts_at: datetime | None = None

    @property
    def total(self) -> int:
        """All clips that start before it."""
        return self.own + sum(self.above.values()) + sum(self.beside.values()) + self.below


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """Clips of a batch that are dispatched as one lump.

    Attributes:
        first: Place of the first of them in its line, counted from 0; -1: it was dispatched before the forecast.
        stale: Whether its message was taken back.
        started_s: Seconds from now; negative if it runs already.
        clip_s: Seconds of each clip on its worker.
    """

    batch: str
    lane: str
    priority: int
    clips: int
    first: int = -1
    job_id: str = ""
    stale: bool = False
    started_s: float = 0.0
    clip_s: float = 0.0


@dataclass(slots=True)
class Watch:
    """Watches for the start of a target, and counts what starts before it."""

    target: Target
    found: Position | None = None
    _met: Position = field(default_factory=Position)

    def note(self, task: Task, at: datetime, clip_s: float) -> None:
        """Count a task that starts on a worker that serves the target's lane."""
        target, met = self.target, self._met
        if self.found is not None:
            return
        same_line = (task.batch, task.lane, task.priority) == (target.batch, target.lane, target.priority)
        ahead = target.before - task.first if same_line and not task.job_id else -1
        if (task.job_id and task.job_id == target.job_id) or 0 <= ahead < task.clips:
            met.own += max(0, ahead)
            met.starts_at = at + timedelta(seconds=max(0, ahead) * clip_s)
            self.found = met
        elif task.priority > target.priority:
            met.above[task.priority] += task.clips
        elif task.batch == target.batch:
            met.own += task.clips
        elif task.priority == target.priority:
            met.beside[task.batch] += task.clips
        else:
            met.below += task.clips
