"""Workers of a forecast, and what a clip takes them."""

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
"""What a clip of a profile that has finished nothing is taken to last, so that the order can be told all the same."""


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A worker that is there, or rests until its window opens; `speed` is beside the mean of all."""

    name: str
    hand: WorkerCapacity
    speed: float
    rests: bool = False
    closes_s: float = math.inf

    def serves(self, lane: str) -> bool:
        """Whether it takes jobs of a lane."""
        return lane in self.hand.lanes


def workers_of(loads: Backlog, paces: Paces) -> Iterator[Worker]:
    """Yield those that a forecast counts on."""
    for index, hand in enumerate(loads.hands):
        if hand.live:
            yield Worker(name=hand.name or f"#{index:06}", hand=hand, speed=paces.speed(hand.name))


def clip_seconds(load: BatchBacklog, loads: Backlog, paces: Paces) -> float | None:
    """Return what a clip of a batch takes; None if no clip of one of its profiles has finished.

    By the batch's own clips, or those of its next clip's shape, or those of its profile.
    """
    if load.clip_s:
        return load.clip_s
    try:
        pace = paces.of(shape_of(RenderSpec.from_json(load.spec))) if load.spec else None
    except InvalidJob:  # a newer producer's: the claim refuses such a job, and not we
        pace = None
    found = [pace.seconds] if pace else [profile_seconds(profile_of(lane), loads, paces) for lane in load.left]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def profile_seconds(profile: str, loads: Backlog, paces: Paces) -> float | None:
    """Return what a clip of a profile takes; None if none has finished."""
    pace = paces.of_profile(profile)
    return pace.seconds if pace is not None else loads.paces.get(profile)
