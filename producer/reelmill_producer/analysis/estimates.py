"""Estimates: what a submit would change, and how long it would take by the seconds that the farm measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.contract import lane_name
from reelmill_common.forecast import ClipPace, Course, Shape, paces_of, shape_of
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, Waiting
from reelmill_producer.analysis.deadlines import in_time

_ASK_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a submit would change.

    Attributes:
        new: Number of jobs that the farm does not have, by shape.
        unchanged: Number of jobs that it has.
        conflicts: Number of rows that it has with other content: such a submit is refused.
    """

    new: Mapping[Shape, int]
    unchanged: int
    conflicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long a change takes.

    Attributes:
        paces: The pace of each shape of the file; None where no clip of its profile has finished.
        gpu_hours: GPU-hours of the new jobs; None if that is not known.
        finish_s: Seconds until the last clip of their batch is rendered, by the forecast, if they are submitted now;
            None if that is not known.
        finish_by: Deadline of their batch in Unix seconds, as it would be after the submit; 0: it has none.
        in_time: Whether the deadline is met; None: there is none, or the end is not known.
        unknown: Why something is not known; empty otherwise.
    """

    paces: Mapping[Shape, ClipPace | None]
    gpu_hours: float | None
    finish_s: float | None
    unknown: str
    finish_by: float = 0.0
    in_time: bool | None = None


def change_of(ledger: Ledger, jobs: Iterable[RenderJob]) -> Change:
    """Ask what a submit of some jobs would change. Streams, and changes nothing."""
    new: Counter[Shape] = Counter()
    unchanged = conflicts = 0
    rest = iter(jobs)
    while chunk := list(islice(rest, _ASK_AT_ONCE)):
        other = {job.job_id for job in ledger.jobs.conflicts(chunk)}
        same = [job for job in chunk if job.job_id not in other]
        # What is left is absent or equal. The farm has an equal one if the same job with another seed conflicts.
        there = {job.job_id for job in ledger.jobs.conflicts(map(_with_other_seed, same))}
        new.update(shape_of(job.spec) for job in same if job.job_id not in there)
        conflicts += len(other)
        unchanged += len(there)
    return Change(new=new, unchanged=unchanged, conflicts=conflicts)


def estimate(
    ledger: Ledger, shapes: Iterable[Shape], new: Mapping[Shape, int], *, policy: Batch, depth: int = 2
) -> Estimate:
    """Return how long some new jobs take.

    Args:
        ledger: The ledger of the farm that would render them.
        shapes: The shapes to return the pace of.
        new: Number of new jobs by shape.
        policy: Batch that they would be in; one that is there keeps its own policy.
        depth: The farm's `REELMILL_DISPATCH_DEPTH`.
    """
    measured = paces_of(ledger)
    paces = {shape: measured.of(shape) for shape in shapes}
    if unmeasured := sorted({shape.profile for shape, jobs in new.items() if jobs and measured.of(shape) is None}):
        reason = f"no clip of this profile has finished yet ({', '.join(unmeasured)})"
        return Estimate(paces=paces, gpu_hours=None, finish_s=None, unknown=reason, finish_by=policy.finish_by)
    seconds = sum(pace.seconds * jobs for shape, jobs in new.items() if (pace := measured.of(shape)))
    if not sum(new.values()):
        return Estimate(paces=paces, gpu_hours=0.0, finish_s=0.0, unknown="", finish_by=policy.finish_by)
    course = Course(_with(ledger.overview.backlog(), policy, new, seconds), measured, depth=depth)
    course.play()
    finish = course.finish_of(policy.name)
    load = next(load for load in course.backlog.batches if load.batch == policy.name)
    finish_by = 0.0 if load.finish_by is None else load.finish_by.timestamp()
    return Estimate(
        paces=paces,
        gpu_hours=seconds / 3600,
        finish_s=None if finish is None else (finish - course.backlog.now).total_seconds(),
        unknown=course.unknown(policy.name),
        finish_by=finish_by,
        in_time=in_time(finish_by, None if finish is None else finish.timestamp()),
    )


def _with(backlog: Backlog, policy: Batch, new: Mapping[Shape, int], seconds: float) -> Backlog:
    """Add what a submit would add. A batch that is there gets the jobs at the end of its lines."""
    there = next((load for load in backlog.batches if load.batch == policy.name), None)
    load = there or _empty(backlog, policy)
    lines = {(line.lane, line.priority): line for line in load.waiting}
    left, count = Counter(load.left), sum(new.values())
    for shape, jobs in new.items():
        lane = lane_name(shape.profile, policy.worker_class)
        line = lines.get((lane, load.priority), Waiting(lane=lane, priority=load.priority, count=0))
        lines[lane, load.priority] = replace(line, count=line.count + jobs)
        left[lane] += jobs
    before = sum(load.left.values())
    clip_s = ((load.clip_s or seconds / count) * before + seconds) / (before + count)
    finish_by = _deadline(policy) or load.finish_by
    grown = replace(load, waiting=list(lines.values()), left=left, clip_s=clip_s, finish_by=finish_by)
    return replace(backlog, batches=[*(other for other in backlog.batches if other is not there), grown])


def _empty(backlog: Backlog, policy: Batch) -> BatchBacklog:
    known = {load.batch for load in backlog.batches}
    after = (*policy.after, *policy.after_any)
    return BatchBacklog(
        batch=policy.name,
        priority=policy.priority,
        weight=policy.weight,
        cap=policy.max_in_flight,
        paused=False,
        shut=False,
        window=policy.window,
        start=from_milliseconds(policy.start_after * 1000) if policy.start_after else None,
        after=tuple(name for name in after if name in known),
        held=0,
        left={},
        owner=policy.owner,
        after_any=tuple(policy.after_any),
        expires=from_milliseconds(policy.expires_at * 1000) if policy.expires_at else None,
    )


def _deadline(policy: Batch) -> datetime | None:
    return from_milliseconds(policy.finish_by * 1000) if policy.finish_by else None


def _with_other_seed(job: RenderJob) -> RenderJob:
    return replace(job, spec=replace(job.spec, seed=job.spec.seed ^ 1))  # differs by 1, and stays in range
