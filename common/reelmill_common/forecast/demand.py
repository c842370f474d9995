"""Demand: how many workers each lane of a farm wants now, for what scales it.

It is the smallest number that is done with everything in time, by work and hours alone: a batch is done by its deadline
if the work that pump sends before or beside it, and its own, fits into the hours in which it may run. What has no
deadline is to be done within `Aims.target_s`. docs/autoscaling.md has the rules with an example.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from reelmill_common.calendar.windows import Windows
from reelmill_common.contract import class_of
from reelmill_common.forecast.paces import Paces
from reelmill_common.forecast.workers import UNMEASURED_S, clip_seconds
from reelmill_common.ledger.backlog import Backlog, BatchBacklog
from reelmill_common.settings import Settings

MARGIN = 1.15
"""Work with a deadline counts so much more than it is measured to take: clips fail, machines go, and what scales a
farm ignores the last tenth (Kubernetes' autoscaler)."""
LEADS = 4
"""Nothing is hurried into less than so many `Aims.lead_s`: workers that start for it would load their models longer
than they render."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """What a farm that scales aims at.

    Attributes:
        least: Fewest workers of a profile's general lane, whatever there is to do.
        most: Most workers of a lane; 0: no limit.
        target_s: Time within which work without a deadline is to be done, from when it may run.
        lead_s: Time from the wish for a worker to its first clip.
        hold_s: Time for which a number that was wanted is held; what is wanted less of waits so long.
    """

    least: int = 0
    most: int = 0
    target_s: float = 3600.0
    lead_s: float = 300.0
    hold_s: float = 600.0

    @classmethod
    def of(cls, settings: Settings) -> Aims:
        """Return what a farm aims at, by its settings."""
        return cls(
            least=settings.autoscale_min,
            most=settings.autoscale_max,
            target_s=settings.autoscale_target_s,
            lead_s=settings.autoscale_lead_s,
            hold_s=settings.autoscale_hold_s,
        )

    def bounded(self, lane: str, wanted: int) -> int:
        """Return a number of workers within the bounds; a lane of a class has no least."""
        least = 0 if class_of(lane) else self.least
        wanted = max(wanted, least)
        return min(wanted, self.most) if self.most else wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is left of a batch on one lane.

    Attributes:
        work_s: GPU-seconds.
        room_s: Seconds in which it may run until it is to be done.
        hands: Most workers that it can use at once.
        counts: Whether it may run now: only then workers start for it.
        share: Part of the farm that it has beside others of its priority, at worst.
    """

    load: BatchBacklog
    work_s: float
    room_s: float
    hands: int
    counts: bool
    share: float = 1.0


def workers_wanted(
    backlog: Backlog, paces: Paces, aims: Aims | None = None, ages: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Return how many workers each lane with work or workers wants now, unbounded. A lane that may not run wants none.

    Args:
        backlog: The farm.
        paces: What clips take.
        aims: What it aims at.
        ages: Seconds for which batches could run already, by name.
    """
    aims = aims or Aims()
    lanes = {lane for load in backlog.batches for lane in load.left} | {hand.lane for hand in backlog.hands}
    return {lane: _lane_wanted(lane, backlog, paces, aims, ages or {}) for lane in sorted(lanes)}


def may_run(load: BatchBacklog, now: datetime, lead_s: float = 0.0) -> bool:
    """Return whether a batch may run, or will within a lead: not paused, in its window, started, not expired."""
    if load.paused or load.closing or load.after or (load.expires is not None and load.expires <= now):
        return False
    soon = now + timedelta(seconds=lead_s)
    if load.start is not None and load.start > soon:
        return False
    return not load.window or bool(_open_seconds(load.window, now, soon + timedelta(seconds=1)))


def _lane_wanted(lane: str, backlog: Backlog, paces: Paces, aims: Aims, ages: Mapping[str, float]) -> int:
    works = list(_shared(_works(lane, backlog, paces, aims, ages), backlog))
    counted = [work for work in works if work.counts]
    if not counted:
        return 0
    live = sum(hand.live and hand.serves(lane) for hand in backlog.hands)
    rooms = [(work.room_s, _need(work, works)) for work in works if work.counts or work.load.finish_by is not None]
    wanted = max(_hands_for(need_s, room_s, live, aims) for room_s, need_s in rooms)
    return max(1, min(wanted, _usable(counted, backlog)))


def _hands_for(need_s: float, room_s: float, live: int, aims: Aims) -> int:
    """Return how many workers do some work in time. Those beyond the live ones begin a lead later."""
    room_s = max(room_s, LEADS * aims.lead_s)
    if need_s <= live * room_s:
        return math.ceil(need_s / room_s)
    return live + math.ceil((need_s - live * room_s) / max(room_s - aims.lead_s, 1.0))


def _works(lane: str, backlog: Backlog, paces: Paces, aims: Aims, ages: Mapping[str, float]) -> Iterator[Work]:
    """Yield what may run now, and what has a deadline and waits only for that."""
    runs = {load.batch for load in backlog.batches if may_run(load, backlog.now, aims.lead_s)}
    chained = _chained(backlog.batches, runs)
    for load in backlog.batches:
        clips = load.left.get(lane, 0)
        if not clips or load.batch not in runs | chained:
            continue
        clip_s = clip_seconds(load, backlog, paces) or UNMEASURED_S
        room_s = _room(load, backlog.now, aims, ages.get(load.batch, 0.0))
        margin = MARGIN if load.finish_by is not None else 1.0
        yield Work(
            load=load,
            work_s=clips * clip_s * margin,
            room_s=max(room_s, clip_s),
            hands=min(clips, load.cap or clips),
            counts=load.batch in runs,
        )


def _chained(loads: Iterable[BatchBacklog], runs: set[str]) -> set[str]:
    """Return the batches with a deadline that wait for nothing but batches that may run, or for such."""
    found: set[str] = set()
    waiting = [load for load in loads if load.after and load.finish_by is not None and not load.paused]
    while more := {load.batch for load in waiting if set(load.after) <= runs | found} - found:
        found |= more
    return found


def _room(load: BatchBacklog, now: datetime, aims: Aims, age_s: float) -> float:
    due = min((time for time in (load.finish_by, load.expires) if time is not None), default=None)
    if due is None:
        return aims.target_s - age_s
    begins = max(now, load.start) if load.start is not None else now
    return _open_seconds(load.window, begins, due) if load.window else (due - begins).total_seconds()


def _shared(works: Iterable[Work], backlog: Backlog) -> Iterator[Work]:
    """Yield work with its share: that of its owner among owners of its priority, then that of its batch."""
    listed = list(works)
    owners: dict[int, dict[str, int]] = defaultdict(dict)
    weights: dict[tuple[int, str], int] = defaultdict(int)
    for work in listed:
        load, known = work.load, backlog.owners.get(work.load.owner)
        owners[load.priority][load.owner] = known.weight if known else 1
        weights[load.priority, load.owner] += load.weight
    for work in listed:
        load, beside = work.load, owners[work.load.priority]
        of_owner = beside[load.owner] / sum(beside.values())
        yield replace(work, share=of_owner * load.weight / weights[load.priority, load.owner])


def _need(work: Work, works: Sequence[Work]) -> float:
    """Return the work that is done by the end of one: what is due by then, what goes first, and what takes turns."""
    ahead = beside = 0.0
    for other in works:
        if other.room_s <= work.room_s or other.load.priority > work.load.priority:
            ahead += other.work_s
        elif other.load.priority == work.load.priority:
            beside += other.work_s
        elif other.load.batch in work.load.after:
            ahead += other.work_s
    return ahead + min(beside, work.work_s * (1 / work.share - 1))


def _usable(works: Iterable[Work], backlog: Backlog) -> int:
    """Return how many workers can be busy at once, within the limits of batches and owners."""
    owners: dict[str, int] = defaultdict(int)
    for work in works:
        owners[work.load.owner] += work.hands
    limits = {name: owner.cap for name, owner in backlog.owners.items() if owner.cap}
    return sum(min(hands, limits.get(owner, hands)) for owner, hands in owners.items())


def _open_seconds(window: str, begins: datetime, ends: datetime) -> float:
    """Return for how long a window is open between two times."""
    first = begins.replace(hour=0, minute=0, second=0, microsecond=0)
    spans = _open_spans(window, first, max(1, (ends - first).days + 1))
    start, end = begins.timestamp(), ends.timestamp()
    return sum(max(0.0, min(shuts, end) - max(opens, start)) for opens, shuts in spans)


@lru_cache(maxsize=256)
def _open_spans(window: str, first: datetime, days: int) -> tuple[tuple[float, float], ...]:
    windows, at, last = Windows.parse(window), first, first + timedelta(days=days)
    spans: list[tuple[float, float]] = []
    while at < last:
        change = min(windows.next_change(at) or last, last)
        if windows.open_at(at):
            spans.append((at.timestamp(), change.timestamp()))
        at = change
    return tuple(spans)
