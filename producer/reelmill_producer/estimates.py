"""Estimates: what a submit would change, and what it would take by the farm's own measured seconds a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from reelmill_common.contract import profile_of
from reelmill_common.jobs import BatchState, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import JobView, Ledger, WorkerState
from reelmill_common.prices import gpu_seconds

SAMPLE_BATCHES = 50
SAMPLE_CLIPS = 200
"""Finished clips that are looked at: of each of the newest `SAMPLE_BATCHES` batches, so many at most."""

_ASK_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """What decides how long a clip takes."""

    profile: str
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Measured GPU-seconds a clip.

    Attributes:
        clips: Finished clips that it is the mean of.
        same_shape: Whether they have the very shape that was asked for, or only its profile.
    """

    seconds: float
    clips: int
    same_shape: bool


@dataclass(slots=True, kw_only=True)
class Paces:
    """The measured seconds of finished clips."""

    _sums: dict[Shape, tuple[float, int]] = field(default_factory=dict[Shape, tuple[float, int]])

    def add(self, job: JobView) -> None:
        """Count a finished clip; one without measured stages does not count."""
        stages = {} if job.result is None else job.result.seconds
        seconds = gpu_seconds(stages)
        if seconds > 0:
            total, clips = self._sums.get(shape_of(job.spec), (0.0, 0))
            self._sums[shape_of(job.spec)] = (total + seconds, clips + 1)

    def of(self, shape: Shape) -> Pace | None:
        """Return the pace of a shape, or else of its profile, or None if no such clip has finished."""
        total, clips = self._sums.get(shape, (0.0, 0))
        if clips:
            return Pace(seconds=total / clips, clips=clips, same_shape=True)
        return self.of_profile(shape.profile)

    def of_profile(self, profile: str) -> Pace | None:
        """Return the mean pace of all clips of a profile, or None if none has finished."""
        found = [entry for shape, entry in self._sums.items() if shape.profile == profile]
        clips = sum(count for _, count in found)
        return Pace(seconds=sum(total for total, _ in found) / clips, clips=clips, same_shape=False) if clips else None


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
        finish_s: Seconds until the last of them is rendered if it all starts now, behind all that waits in the same
            lane, on the workers that are ready now. None if it is not known.
        unknown: Why something is not known; empty otherwise.
    """

    paces: Mapping[Shape, Pace | None]
    gpu_hours: float | None
    finish_s: float | None
    unknown: str


def shape_of(spec: RenderSpec) -> Shape:
    """Return the shape of a spec."""
    return Shape(profile=spec.profile, width=spec.width, height=spec.height, frames=spec.frames)


def shapes_of(jobs: Iterable[RenderJob]) -> Counter[Shape]:
    """Count jobs by shape."""
    return Counter(shape_of(job.spec) for job in jobs)


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


def paces_of(ledger: Ledger) -> Paces:
    """Measure the newest finished clips of a farm."""
    paces = Paces()
    for job in _sample(ledger):
        paces.add(job)
    return paces


def estimate(ledger: Ledger, shapes: Iterable[Shape], new: Mapping[Shape, int]) -> Estimate:
    """Return what some new jobs take.

    Args:
        ledger: Of the farm that would render them.
        shapes: All whose pace is asked for.
        new: Jobs by shape.
    """
    measured = paces_of(ledger)
    paces = {shape: measured.of(shape) for shape in shapes}
    if unmeasured := sorted({shape.profile for shape, jobs in new.items() if jobs and measured.of(shape) is None}):
        reason = f"no clip of this profile has finished yet ({', '.join(unmeasured)})"
        return Estimate(paces=paces, gpu_hours=None, finish_s=None, unknown=reason)
    seconds: dict[str, float] = {}
    for shape, jobs in new.items():
        if pace := measured.of(shape):
            seconds[shape.profile] = seconds.get(shape.profile, 0.0) + pace.seconds * jobs
    hours = sum(seconds.values()) / 3600
    ready = Counter(worker.lane for worker in ledger.workers() if worker.state is WorkerState.READY)
    if idle := sorted(lane for lane in seconds if not ready[lane]):
        reason = f"no worker is ready for {', '.join(idle)}"
        return Estimate(paces=paces, gpu_hours=hours, finish_s=None, unknown=reason)
    waiting = _waiting_s(ledger, measured)
    finish = max(((seconds[lane] + waiting.get(lane, 0.0)) / ready[lane] for lane in seconds), default=0.0)
    return Estimate(paces=paces, gpu_hours=hours, finish_s=finish, unknown="")


def _altered(job: RenderJob) -> RenderJob:
    return replace(job, spec=replace(job.spec, seed=job.spec.seed ^ 1))


def _sample(ledger: Ledger) -> Iterator[JobView]:
    finished = [view for view in ledger.batches() if view.counts.get(JobState.SUCCEEDED, 0)]
    for view in finished[:SAMPLE_BATCHES]:
        yield from ledger.jobs(view.name, states=[JobState.SUCCEEDED], count=SAMPLE_CLIPS)


def _waiting_s(ledger: Ledger, measured: Paces) -> Mapping[str, float]:
    """Return the GPU-seconds, by lane, of all that waits or runs in batches that are not paused."""
    found: dict[str, float] = {}
    for line in ledger.census().lines:
        pace, profile = measured.of_profile(profile_of(line.lane)), profile_of(line.lane)
        if pace is not None and line.batch_state is BatchState.ACTIVE:
            found[profile] = found.get(profile, 0.0) + pace.seconds * sum(line.counts.values())
    return found
