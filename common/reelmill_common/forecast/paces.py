"""Paces: the GPU-seconds that finished clips took, by what decides them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from reelmill_common.jobs import JobState, RenderJob, RenderSpec
from reelmill_common.ledger import JobView, Ledger
from reelmill_common.prices import gpu_seconds

SAMPLE_BATCHES = 20
SAMPLE_CLIPS = 50
"""The sample: at most so many finished clips of each of the newest `SAMPLE_BATCHES` batches.

One sample for every forecast, or two of them could differ about one batch. Reading it takes about 0.08 s (Valkey 9.1 on
two busy cores, 1,000 clips).
"""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """What decides how long a clip takes."""

    profile: str
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPace:
    """Measured GPU-seconds a clip.

    Attributes:
        seconds: Their mean.
        clips: Finished clips that it is the mean of.
        same_shape: Whether they have the shape that was asked for, or only its profile.
    """

    seconds: float
    clips: int
    same_shape: bool


@dataclass(slots=True, kw_only=True)
class Paces:
    """The measured GPU-seconds of finished clips, by shape and by worker."""

    _sums: dict[Shape, tuple[float, int]] = field(default_factory=dict[Shape, tuple[float, int]])
    _by_worker: dict[tuple[str, Shape], tuple[float, int]] = field(
        default_factory=dict[tuple[str, Shape], tuple[float, int]]
    )

    def add(self, job: JobView) -> None:
        """Count a finished clip, unless none of its stages was measured."""
        stages = {} if job.result is None else job.result.seconds
        seconds = gpu_seconds(stages)
        if seconds > 0:
            shape = shape_of(job.spec)
            total, clips = self._sums.get(shape, (0.0, 0))
            self._sums[shape] = (total + seconds, clips + 1)
            total, clips = self._by_worker.get((job.worker, shape), (0.0, 0))
            self._by_worker[job.worker, shape] = (total + seconds, clips + 1)

    def of(self, shape: Shape) -> ClipPace | None:
        """Return the pace of a shape, or else of its profile, or None if no such clip has finished."""
        total, clips = self._sums.get(shape, (0.0, 0))
        if clips:
            return ClipPace(seconds=total / clips, clips=clips, same_shape=True)
        return self.of_profile(shape.profile)

    def of_profile(self, profile: str) -> ClipPace | None:
        """Return the mean pace of all clips of a profile, or None if none has finished."""
        found = [entry for shape, entry in self._sums.items() if shape.profile == profile]
        clips = sum(count for _, count in found)
        return (
            ClipPace(seconds=sum(total for total, _ in found) / clips, clips=clips, same_shape=False) if clips else None
        )

    def speed(self, worker: str) -> float:
        """Return a worker's speed relative to all that made clips of the same shapes; 1 if that is not known."""
        mean = taken = 0.0
        for (name, shape), (total, clips) in self._by_worker.items():
            if name == worker:
                of_all, count = self._sums[shape]
                mean, taken = mean + clips * of_all / count, taken + total
        return mean / taken if taken else 1.0


def shape_of(spec: RenderSpec) -> Shape:
    """Return the shape of a spec."""
    return Shape(profile=spec.profile, width=spec.width, height=spec.height, frames=spec.frames)


def shapes_of(jobs: Iterable[RenderJob]) -> Counter[Shape]:
    """Count jobs by shape."""
    return Counter(shape_of(job.spec) for job in jobs)


def paces_of(ledger: Ledger) -> Paces:
    """Measure the newest finished clips of a farm."""
    paces = Paces()
    finished = [view for view in ledger.batches.all() if view.counts.get(JobState.SUCCEEDED, 0)]
    for view in finished[:SAMPLE_BATCHES]:
        for job in ledger.jobs.page(view.name, states=[JobState.SUCCEEDED], count=SAMPLE_CLIPS):
            paces.add(job)
    return paces
