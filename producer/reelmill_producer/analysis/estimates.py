"""Estimates: what a submit would change, and what it would take by the farm's own measured seconds a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from reelmill_common.calendar.timestamps import moment_of
from reelmill_common.contract import lane_name
from reelmill_common.forecast import Course, Pace, Shape, paces_of, shape_of
from reelmill_common.jobs import Batch, RenderJob
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, Waiting

_ASK_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a submit would change.

    Attributes:
        new: Jobs that the farm does not have, by shape.
        unchanged: Jobs that it has.
        conflicts: Rows that it has with other content: such a submit is refused.
    """

    new: Mapping[Shape, int]
    unchanged: int
    conflicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a change takes.

    Attributes:
        paces: Of each shape of the file; None where no clip of its profile has finished.
        gpu_hours: Of the new jobs, or None if that is not known.
        finish_s: Seconds until the last clip of their batch is rendered, by the forecast, if submitted now; None
            if it is not known.
        unknown: Why something is not known; empty otherwise.
    """

    paces: Mapping[Shape, Pace | None]
    gpu_hours: float | None
    finish_s: float | None
    unknown: str


def change_of(ledger: Ledger, jobs: Iterable[RenderJob]) -> Change:
    """Ask what a submit of some jobs would change. Streams, and changes nothing."""
    new: Counter[Shape] = Counter()
    unchanged = conflicts = 0
    rest = iter(jobs)
    while chunk := list(islice(rest, _ASK_AT_ONCE)):
        other = {job.job_id for job in ledger.conflicts(chunk)}
        same = [job for job in chunk if job.job_id not in other]
        # Those that are left are absent or equal; an equal one is in conflict with any other spec.
        there = {job.job_id for job in ledger.conflicts(map(_altered, same))}
        new.update(shape_of(job.spec) for job in same if job.job_id not in there)
        conflicts += len(other)
        unchanged += len(there)
    return Change(new=new, unchanged=unchanged, conflicts=conflicts)


def estimate(
    ledger: Ledger, shapes: Iterable[Shape], new: Mapping[Shape, int], *, policy: Batch, depth: int = 2
) -> Estimate:
    """Return what some new jobs take.

    Args:
        ledger: Of the farm that would render them.
        shapes: All whose pace is asked for.
        new: Jobs by shape.
        policy: Batch that they would be in; one that is there keeps its own policy.
        depth: The farm's `REELMILL_DISPATCH_DEPTH`.
    """
    measured = paces_of(ledger)
    paces = {shape: measured.of(shape) for shape in shapes}
    if unmeasured := sorted({shape.profile for shape, jobs in new.items() if jobs and measured.of(shape) is None}):
        reason = f"no clip of this profile has finished yet ({', '.join(unmeasured)})"
        return Estimate(paces=paces, gpu_hours=None, finish_s=None, unknown=reason)
    seconds = sum(pace.seconds * jobs for shape, jobs in new.items() if (pace := measured.of(shape)))
    if not sum(new.values()):
        return Estimate(paces=paces, gpu_hours=0.0, finish_s=0.0, unknown="")
    course = Course(_with(ledger.loads(), policy, new, seconds), measured, depth=depth)
    course.play()
    finish = course.finish_of(policy.name)
    return Estimate(
        paces=paces,
        gpu_hours=seconds / 3600,
        finish_s=None if finish is None else (finish - course.backlog.now).total_seconds(),
        unknown=course.unknown(policy.name),
    )


def _with(loads: Backlog, policy: Batch, new: Mapping[Shape, int], seconds: float) -> Backlog:
    """Add what a submit would add. A batch that is there gets the jobs at the end of its lines."""
    there = next((load for load in loads.batches if load.batch == policy.name), None)
    load = there or _empty(loads, policy)
    lines = {(line.lane, line.priority): line for line in load.waiting}
    left, count = Counter(load.left), sum(new.values())
    for shape, jobs in new.items():
        lane = lane_name(shape.profile, policy.worker_class)
        line = lines.get((lane, load.priority), Waiting(lane=lane, priority=load.priority, count=0))
        lines[lane, load.priority] = replace(line, count=line.count + jobs)
        left[lane] += jobs
    before = sum(load.left.values())
    clip_s = ((load.clip_s or seconds / count) * before + seconds) / (before + count)
    grown = replace(load, waiting=list(lines.values()), left=left, clip_s=clip_s)
    return replace(loads, batches=[*(other for other in loads.batches if other is not there), grown])


def _empty(loads: Backlog, policy: Batch) -> BatchBacklog:
    known = {load.batch for load in loads.batches}
    after = (*policy.after, *policy.after_any)
    return BatchBacklog(
        batch=policy.name,
        priority=policy.priority,
        weight=policy.weight,
        cap=policy.max_in_flight,
        paused=False,
        shut=False,
        window=policy.window,
        start=moment_of(policy.start_after * 1000) if policy.start_after else None,
        after=tuple(name for name in after if name in known),
        held=0,
        left={},
        owner=policy.owner,
        after_any=tuple(policy.after_any),
        expires=moment_of(policy.expires_at * 1000) if policy.expires_at else None,
    )


def _altered(job: RenderJob) -> RenderJob:
    return replace(job, spec=replace(job.spec, seed=job.spec.seed ^ 1))
