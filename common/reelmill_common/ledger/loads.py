"""Loads: what of each batch is left to do, and who is there to do it, as a plan wants to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reelmill_common.contract import class_of, profile_of
from reelmill_common.ledger.records import WorkerState
from reelmill_common.ledger.side import LIVE_S
from reelmill_common.nights.clock import moment_of

_WORKS = {WorkerState.READY, WorkerState.RESTING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What of a batch is left to do.

    Attributes:
        cap: Most jobs at once; 0: no cap.
        shut: Whether its window is shut, or has no room for a clip any more.
        start: Nothing of it starts before; None: at once.
        after: Batches that must have ended first.
        held: Jobs that somebody holds back.
        left: Jobs by lane that have not ended and are not held.
    """

    batch: str
    priority: int
    weight: int
    cap: int
    paused: bool
    shut: bool
    window: str
    start: datetime | None
    after: tuple[str, ...]
    held: int
    left: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """A worker, as far as a plan counts on it.

    Attributes:
        lane: Its profile.
        live: Whether it works, or rests until its window opens.
        window: Empty: it works at any time.
        classes: The lanes of its classes.
    """

    lane: str
    live: bool
    window: str
    classes: Sequence[str] = ()

    def serves(self, lane: str) -> bool:
        """Whether it takes jobs of a lane."""
        return lane == self.lane or lane in self.classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What is left to do, oldest batch first, and who is there to do it."""

    now: datetime
    batches: Sequence[Load]
    hands: Sequence[Hand]


def loads(answer: Sequence[Any]) -> Loads:
    """Build the loads from `loads.lua`'s answer."""
    now, batches, workers = answer
    return Loads(
        now=moment_of(now),
        batches=[_load(batch) for batch in batches],
        hands=[_hand(*worker) for worker in workers],
    )


def _hand(lanes: str, state: str, silent_ms: int, window: str) -> Hand:
    return Hand(
        lane=profile_of(lanes),
        live=state in _WORKS and silent_ms < LIVE_S * 1000,
        window=window,
        classes=[lane for lane in lanes.split(",") if class_of(lane)],
    )


def _load(answer: Sequence[Any]) -> Load:
    batch, priority, weight, cap, paused, shut, window, start, after, held, left = answer
    return Load(
        batch=batch,
        priority=int(priority),
        weight=int(weight),
        cap=int(cap),
        paused=paused == "1",
        shut=shut == "1",
        window=window,
        start=moment_of(float(start)) if start else None,
        after=tuple(name for name in after.split(",") if name),
        held=int(held),
        left=dict(zip(left[::2], left[1::2], strict=True)),
    )
