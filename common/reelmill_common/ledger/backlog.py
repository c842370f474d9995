"""The backlog, for forecasts: what is left to do of each batch, the workers for it, and the order between owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.contract import class_of, profile_of
from reelmill_common.ledger.base import LIVE_S
from reelmill_common.ledger.records import WorkerState

_WORKS = {WorkerState.READY, WorkerState.RESTING}

_FIELDS = (
    *("priority", "weight", "cap", "paused", "shut", "window", "start", "unmet", "lanes", "done", "own", "h"),
    *("owner", "closes", "expires", "after_any", "f", "c", "cost:gpu", "cost:clips", "finish_by"),
)
"""Fields of a batch in the order of `FIELDS` in `backlog.lua`."""

Level = tuple[str, int]
"""A lane or a profile, and a priority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The jobs of a batch that wait on a lane at a priority.

    Attributes:
        turn: The batch's virtual time there; None if it may not run now, or none is known.
    """

    lane: str
    priority: int
    count: int
    turn: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flying:
    """A job that is dispatched or runs.

    Attributes:
        since_s: Seconds since it was dispatched or, if it runs, claimed.
        worker: The worker that has it; empty if none has.
    """

    job_id: str
    lane: str
    priority: int
    runs: bool
    since_s: float
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBacklog:
    """What is left to do of a batch.

    Attributes:
        cap: Most jobs at once; 0: no cap.
        shut: Whether its window is closed, or has no room for a clip any more (then `closing` as well).
        start: Nothing of it starts before; None: at once.
        after: Batches that must have ended first, those in `after_any` however they end.
        expires: Nothing of it starts after; None: that does not happen.
        finish_by: All of it should be done by then; None: it has no deadline.
        held: Jobs that a person holds back.
        left: Jobs by lane that have not ended and are not held.
        unsuccessful: Jobs that failed or were cancelled.
        waiting: Those that wait. Where it is empty, all that is left and does not fly waits at the batch's priority.
        clip_s: GPU-seconds of its finished clips in the mean; None if none is measured.
        spec: JSON of the next job's spec where `clip_s` is not known; empty if nothing waits.
        used: Virtual time by profile at its own priority, as it was when it last had a job chosen.
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
    owner: str = ""
    after_any: tuple[str, ...] = ()
    expires: datetime | None = None
    finish_by: datetime | None = None
    closing: bool = False
    unsuccessful: int = 0
    waiting: Sequence[Waiting] = ()
    flying: Sequence[Flying] = ()
    clip_s: float | None = None
    spec: str = ""
    used: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCapacity:
    """A worker, as far as a forecast counts on it.

    Attributes:
        lane: Its profile.
        live: Whether it works, or rests until its window opens.
        window: Empty: it works at any time.
        classes: The lanes of its classes.
        rests: Whether it takes nothing until its window opens the next time.
    """

    lane: str
    live: bool
    window: str
    classes: Sequence[str] = ()
    name: str = ""
    rests: bool = False

    @property
    def lanes(self) -> Sequence[str]:
        """The lanes that it takes jobs of."""
        return (*self.classes, self.lane)

    def serves(self, lane: str) -> bool:
        """Return whether it takes jobs of a lane."""
        return lane in self.lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLoad:
    """An owner's policy and place.

    Attributes:
        cap: Most jobs at once; 0: no cap.
        clocks: Virtual time among its batches.
        turns: Virtual time of the owner itself, as it was when it last had a job chosen.
        levels: Where it has batches that may run, in the order in which pump's index has them.
    """

    weight: int = 1
    cap: int = 0
    clocks: Mapping[Level, float] = field(default_factory=dict[Level, float])
    turns: Mapping[Level, float] = field(default_factory=dict[Level, float])
    levels: Sequence[Level] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is left to do, oldest batch first, the workers that can do it, and the order between owners.

    Attributes:
        now: Redis' clock, in UTC.
        turns: Owners by virtual time, by lane and priority: those that may have a job chosen now.
        clocks: Virtual time by profile and priority.
        classes: Lanes of classes in the order in which pump looks at them.
        paces: Seconds from a claim to its clip by profile, delivery with them; those that have finished one.
    """

    now: datetime
    batches: Sequence[BatchBacklog]
    hands: Sequence[WorkerCapacity]
    owners: Mapping[str, OwnerLoad] = field(default_factory=dict[str, OwnerLoad])
    turns: Mapping[Level, Mapping[str, float]] = field(default_factory=dict[Level, Mapping[str, float]])
    clocks: Mapping[Level, float] = field(default_factory=dict[Level, float])
    classes: Sequence[str] = ()
    paces: Mapping[str, float] = field(default_factory=dict[str, float])


def read_backlog(answer: Sequence[Any]) -> Backlog:
    """Build the backlog from `backlog.lua`'s answer."""
    now, batches, workers, owners, turns, clocks, classes = answer
    return Backlog(
        now=from_milliseconds(now),
        batches=[_load(*batch) for batch in batches],
        hands=[_hand(*worker) for worker in workers],
        owners={name: _owner(dict(_pairs(fields)), levels) for name, fields, levels in owners},
        turns={
            (lane, int(priority)): {owner: float(turn) for owner, turn in _pairs(scores)}
            for lane, priority, scores in turns
        },
        clocks={
            (profile, level): float(value)
            for profile, values, _ in clocks
            for level, value in enumerate(values)
            if value is not None
        },
        classes=classes,
        paces={profile: float(ms) / 1000 for profile, _, ms in clocks if ms != ""},
    )


def _hand(name: str, lanes: str, state: str, silent_ms: int, window: str) -> WorkerCapacity:
    return WorkerCapacity(
        name=name,
        lane=profile_of(lanes),
        live=state in _WORKS and silent_ms < LIVE_S * 1000,
        window=window,
        classes=[lane for lane in lanes.split(",") if class_of(lane)],
        rests=state == WorkerState.RESTING,
    )


def _owner(fields: Mapping[str, str], levels: Sequence[str]) -> OwnerLoad:
    found: dict[str, dict[Level, float]] = {"c": {}, "v": {}}
    for name, value in fields.items():
        kind, is_level, level = name.partition(":")
        if is_level and kind in found:
            found[kind][_level(level)] = float(value)
    return OwnerLoad(
        weight=int(fields.get("weight", 1)),
        cap=int(fields.get("cap", 0)),
        clocks=found["c"],
        turns=found["v"],
        levels=[_level(level) for level in levels],
    )


def _level(text: str) -> Level:
    name, _, priority = text.rpartition(":")
    return name, int(priority)


def _load(batch: str, values: Sequence[str], *parts: Any) -> BatchBacklog:
    left, lines, flying, spec, used = parts
    read = dict(zip(_FIELDS, values, strict=True))
    gpu_ms, clips = read["cost:gpu"], read["cost:clips"]
    return BatchBacklog(
        batch=batch,
        priority=int(read["priority"]),
        weight=int(read["weight"]),
        cap=int(read["cap"]),
        paused=read["paused"] == "1",
        shut=read["shut"] == "1",
        window=read["window"],
        start=_time(read["start"]),
        after=_names(read["unmet"]),
        held=int(read["h"] or 0),
        left=dict(_pairs(left)),
        owner=read["owner"],
        after_any=_names(read["after_any"]),
        expires=_time(read["expires"]),
        finish_by=_time(read["finish_by"]),
        closing=read["shut"] == "1" and bool(read["closes"]),
        unsuccessful=int(read["f"]) + int(read["c"]),
        waiting=_waiting(lines),
        flying=[
            Flying(job_id=job_id, lane=lane, priority=int(level), runs=bool(runs), since_s=ms / 1000, worker=worker)
            for job_id, lane, level, runs, ms, worker in _groups(flying, 6)
        ],
        clip_s=int(gpu_ms) / 1000 / int(clips) if gpu_ms and clips else None,
        spec=spec,
        used={profile: float(turn) for profile, turn in _pairs(used)},
    )


def _waiting(lines: Sequence[Any]) -> list[Waiting]:
    """Join the lines of one lane and priority: jobs that were given a priority may have that of their batch."""
    found: dict[Level, Waiting] = {}
    for lane, priority, count, turn in _groups(lines, 4):
        level = (lane, int(priority))
        before = found[level].count if level in found else 0
        found[level] = Waiting(
            lane=lane, priority=int(priority), count=before + count, turn=float(turn) if turn != "" else None
        )
    return list(found.values())


def _time(ms: str) -> datetime | None:
    return from_milliseconds(float(ms)) if ms else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _groups(flat: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    return zip(*(flat[start::size] for start in range(size)), strict=True)


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
