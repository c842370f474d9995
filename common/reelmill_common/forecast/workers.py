"""The workers that a forecast counts on, and how long a clip takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from reelmill_common.contract import profile_of
from reelmill_common.errors import InvalidJob
from reelmill_common.forecast.paces import Paces, shape_of
from reelmill_common.jobs import RenderSpec
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, WorkerCapacity

UNMEASURED_S = 30.0
"""What a clip of an unmeasured profile is assumed to take: the order can be forecast without knowing it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A worker.

    Attributes:
        speed: Relative to the mean of all workers.
        rests: Whether it takes nothing until its window opens.
        closes_s: When its window closes, in seconds from now.
    """

    name: str
    capacity: WorkerCapacity
    speed: float
    rests: bool = False
    closes_s: float = math.inf

    def serves(self, lane: str) -> bool:
        """Whether it takes jobs of a lane."""
        return lane in self.capacity.lanes


def workers_of(backlog: Backlog, paces: Paces) -> Iterator[Worker]:
    """Yield the workers that work, or rest until their window opens."""
    for index, capacity in enumerate(backlog.hands):
        if capacity.live:
            name = capacity.name or f"#{index:06}"
            yield Worker(name=name, capacity=capacity, speed=paces.speed(capacity.name))


def clip_seconds(load: BatchBacklog, backlog: Backlog, paces: Paces) -> float | None:
    """Return the GPU-seconds of a batch's clip; None if no clip of one of its profiles has finished.

    It is the mean of the batch's own clips, else of its next clip's shape, else of its profile.
    """
    if load.clip_s:
        return load.clip_s
    try:
        pace = paces.of(shape_of(RenderSpec.from_json(load.spec))) if load.spec else None
    except InvalidJob:  # of a newer producer: refused at the claim, not here
        pace = None
    found = [pace.seconds] if pace else [profile_seconds(profile_of(lane), backlog, paces) for lane in load.left]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def profile_seconds(profile: str, backlog: Backlog, paces: Paces) -> float | None:
    """Return the seconds of a profile's clip; None if none has finished."""
    pace = paces.of_profile(profile)
    return pace.seconds if pace is not None else backlog.paces.get(profile)
