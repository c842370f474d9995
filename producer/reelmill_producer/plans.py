"""Plans: when each batch will be done at the farm's measured pace, and what will not be done by a given time.

The farm's hours are played through on paper: its live workers go to the most urgent batches that may run, shared by
weight, until a batch is done or a window opens or shuts. Failures, owners' shares and the clips that a window has no
room for at its end are left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reelmill_common.contract import class_of, profile_of
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.loads import Load, Loads
from reelmill_common.nights.windows import Windows
from reelmill_producer.estimates import Pace, Paces, paces_of

HORIZON = timedelta(days=60)
"""How far ahead is looked."""
_STEPS_MOST = 20_000

Place = tuple[str, str]
"""A batch, and a lane that it has jobs in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What becomes of a batch.

    Attributes:
        remaining: Jobs that have not ended now.
        finish_at: When the last of them is done, or None if that is not known.
        left: Jobs that will not be done by the time that was asked for; all of them where nothing is known.
        why: Why the finish is not known; empty otherwise.
    """

    batch: str
    priority: int
    remaining: int
    finish_at: datetime | None
    left: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePace:
    """What a lane does.

    Attributes:
        workers: Live ones, those that rest until their window opens too.
        pace: Measured; None where no clip has finished.
    """

    lane: str
    workers: int
    pace: Pace | None

    @property
    def clips_per_hour(self) -> float | None:
        """What its workers do together, or None if that is not known."""
        return self.workers * 3600 / self.pace.seconds if self.pace is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan of all batches that are not done.

    Attributes:
        now: Redis' clock, in UTC.
        by: The time that was asked for, or None.
    """

    now: datetime
    by: datetime | None
    batches: Sequence[Forecast]
    lanes: Sequence[LanePace]

    @property
    def left(self) -> int:
        """Jobs that will not be done by then."""
        return sum(forecast.left for forecast in self.batches)


def plan_of(ledger: Ledger, by: datetime | None = None) -> Plan:
    """Plan what a farm has to do now."""
    return make_plan(ledger.loads(), paces_of(ledger), by)


def make_plan(loads: Loads, paces: Paces, by: datetime | None = None) -> Plan:
    """Plan some loads at some paces."""
    lanes = sorted({lane for load in loads.batches for lane in load.left} | {hand.lane for hand in loads.hands})
    live = {lane: sum(hand.live and hand.serves(lane) for hand in loads.hands) for lane in lanes}
    measured = [LanePace(lane=lane, workers=live[lane], pace=paces.of_profile(profile_of(lane))) for lane in lanes]
    course = _Course(loads=loads, paces={lane.lane: lane.pace.seconds for lane in measured if lane.pace is not None})
    course.play(by)
    return Plan(
        now=loads.now,
        by=by,
        batches=[_forecast(load, course, measured, by) for load in loads.batches],
        lanes=measured,
    )


@dataclass(slots=True, kw_only=True)
class _Course:
    """The hours to come, played through on paper.

    Attributes:
        paces: Seconds a clip by lane.
        left: Clips by batch and lane, as fractions.
        finished: When each batch was done.
        left_by: Clips by batch that were left at the time that was asked for.
    """

    loads: Loads
    paces: Mapping[str, float]
    left: dict[Place, float] = field(default_factory=dict[Place, float])
    finished: dict[str, datetime] = field(default_factory=dict[str, datetime])
    left_by: dict[str, float] = field(default_factory=dict[str, float])

    def play(self, by: datetime | None) -> None:
        self.left = {(load.batch, lane): float(n) for load in self.loads.batches for lane, n in load.left.items() if n}
        now, end = self.loads.now, self.loads.now + HORIZON
        held = {load.batch for load in self.loads.batches if load.held}
        for _ in range(_STEPS_MOST):
            if by is not None and now >= by and not self.left_by:
                self.left_by = self._left_by_batch()
            rates = self._rates(now)
            following = self._next(now, rates, by)
            if following is None or following > end or not self.left:
                break
            self._work(rates, (following - now).total_seconds())
            now = following
            left = self._left_by_batch()
            self.finished |= {name: now for name in left if not (left[name] or name in held or name in self.finished)}
        if by is not None and not self.left_by:
            self.left_by = self._left_by_batch()

    def _left_by_batch(self) -> dict[str, float]:
        found = {load.batch: 0.0 for load in self.loads.batches}
        for (batch, _), clips in self.left.items():
            found[batch] += clips
        return found

    def _work(self, rates: Mapping[Place, float], seconds: float) -> None:
        for place, rate in rates.items():
            self.left[place] -= rate * seconds
            if self.left[place] < 1e-3:  # of a clip: what is left of it is rounding
                del self.left[place]

    def _next(self, now: datetime, rates: Mapping[Place, float], by: datetime | None) -> datetime | None:
        moments = [now + timedelta(seconds=self.left[place] / rate) for place, rate in rates.items()]
        moments += [load.start for load in self.loads.batches if load.start is not None]
        moments += self._turns(now)
        if by is not None:
            moments.append(by)
        # At least a millisecond on, so that what is finished is finished whatever the rounding.
        return max(min(later), now + timedelta(milliseconds=1)) if (later := [m for m in moments if m > now]) else None

    def _turns(self, now: datetime) -> Iterator[datetime]:
        texts = {load.window for load in self.loads.batches} | {hand.window for hand in self.loads.hands}
        for text in texts - {""}:
            change = Windows.parse(text).next_change(now)
            if change is not None:
                yield change

    def _rates(self, now: datetime) -> dict[Place, float]:
        """Return the clips a second of each place that is worked on now."""
        rates: dict[Place, float] = {}
        taken: dict[str, float] = defaultdict(float)  # workers of a profile that its classes keep busy, as a fraction
        for lane, pace in sorted(self.paces.items(), key=lambda item: not class_of(item[0])):
            free = float(sum(hand.live and hand.serves(lane) and _open(hand.window, now) for hand in self.loads.hands))
            free = max(0.0, free - taken[lane])
            ready = [
                load for load in self.loads.batches if (load.batch, lane) in self.left and self._may_run(load, now)
            ]
            for priority in sorted({load.priority for load in ready}, reverse=True):
                shares = _shares([load for load in ready if load.priority == priority], free)
                free -= sum(shares.values())
                taken[profile_of(lane)] += sum(shares.values())
                rates |= {(batch, lane): workers / pace for batch, workers in shares.items() if workers > 0}
        return rates

    def _may_run(self, load: Load, now: datetime) -> bool:
        early = load.start is not None and load.start > now
        waits = any(name not in self.finished for name in load.after)
        closing = load.shut and now == self.loads.now  # so near its end that no clip has room
        return not (load.paused or early or waits or closing) and _open(load.window, now)


def _open(window: str, now: datetime) -> bool:
    return not window or Windows.parse(window).open_at(now)


def _shares(loads: Sequence[Load], workers: float) -> dict[str, float]:
    """Share workers by weight; what a batch's cap leaves over goes to the others."""
    shares: dict[str, float] = {}
    rest = list(loads)
    while rest:
        unit = (workers - sum(shares.values())) / sum(load.weight for load in rest)
        capped = [load for load in rest if load.cap and load.cap < unit * load.weight]
        shares |= {load.batch: float(load.cap) for load in capped} or {load.batch: unit * load.weight for load in rest}
        rest = [load for load in rest if load.batch not in shares]
    return shares


def _forecast(load: Load, course: _Course, lanes: Sequence[LanePace], by: datetime | None) -> Forecast:
    finish = course.finished.get(load.batch)
    return Forecast(
        batch=load.batch,
        priority=load.priority,
        remaining=sum(load.left.values()) + load.held,
        finish_at=finish,
        left=0 if by is None else math.ceil(round(course.left_by.get(load.batch, 0.0), 2)) + load.held,
        why="" if finish is not None else _why(load, course, lanes),
    )


def _why(load: Load, course: _Course, lanes: Sequence[LanePace]) -> str:
    if load.paused:
        return "it is paused"
    if load.held:
        return f"{load.held:,} of its jobs are held"
    for lane in lanes:
        if load.left.get(lane.lane) and not lane.workers:
            return f"no worker is ready for {lane.lane}"
        if load.left.get(lane.lane) and lane.pace is None:
            return f"no clip of {lane.lane} has finished yet, so its pace is not known"
    waits = [name for name in load.after if name not in course.finished]
    if waits:
        return f"it waits for {', '.join(waits)}, whose end is not known"
    return f"it is not done within {HORIZON.days} days"
