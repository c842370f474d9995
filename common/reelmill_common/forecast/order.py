"""Order: what `ledger/lua/pump.lua` sends next and how `lib/move.lua` keeps its indexes, simulated.

The names are those of the Lua files. A property test compares the two: tests/common/forecast/test_order.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from reelmill_common.contract import class_of, profile_of
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, Level, OwnerLoad

Share = tuple[str, int, str]
"""Lane, priority, owner."""


class Turns:
    """Names by virtual time, as in a sorted set of Redis: the lowest comes first, on a tie the first name."""

    __slots__ = ("_heap", "_scores")

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._scores: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._scores

    def __len__(self) -> int:
        return len(self._scores)

    def put(self, name: str, score: float) -> None:
        """Add a name, or give it another virtual time."""
        self._scores[name] = score
        heappush(self._heap, (score, name))

    def drop(self, name: str) -> None:
        """Remove a name."""
        self._scores.pop(name, None)

    def first(self) -> tuple[float, str] | None:
        """Return the virtual time and the name that come first; None if there is none."""
        while self._heap:
            score, name = self._heap[0]
            if self._scores.get(name) == score:
                return score, name
            heappop(self._heap)
        return None


@dataclass(slots=True, kw_only=True)
class Owner:
    """An owner: its policy, what it has used, and the levels at which it has batches that may run (ordered)."""

    weight: int
    cap: int
    clocks: dict[Level, float]
    turns: dict[Level, float]
    flying: int = 0
    levels: dict[Level, None] = field(default_factory=dict[Level, None])


@dataclass(slots=True, kw_only=True)
class PlannedBatch:
    """A batch in the simulation.

    Attributes:
        waiting: Clips by lane and priority.
        taken: Clips that were dispatched by lane and priority, since the beginning.
        flying: Its messages and tasks in flight, which its cap limits.
        used: Virtual time by profile, at its own priority.
        unmet: Batches that it still waits for.
        stuck: Whether one of those ended otherwise than it should.
    """

    load: BatchBacklog
    waiting: dict[Level, int]
    taken: dict[Level, int] = field(default_factory=lambda: defaultdict[Level, int](int))
    flying: int = 0
    used: dict[str, float] = field(default_factory=dict[str, float])
    paused: bool = False
    shut: bool = False
    early: bool = False
    expired: bool = False
    unmet: set[str] = field(default_factory=set[str])
    stuck: bool = False

    @property
    def may_run(self) -> bool:
        """Whether nothing but a cap keeps it from running."""
        return not (self.paused or self.shut or self.early or self.expired or self.unmet)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextJob:
    """What is dispatched next: the first job of a batch on a lane, at a priority."""

    batch: str
    lane: str
    priority: int
    owner: str
    owner_start: float
    start: float


class Order:
    """What pump sends next.

    Args:
        backlog: The farm.
        depth: Jobs kept dispatched for each worker.
    """

    def __init__(self, backlog: Backlog, *, depth: int) -> None:
        self._depth = depth
        self._ready: dict[Level, Turns] = defaultdict(Turns)
        self._shares: dict[Share, Turns] = defaultdict(Turns)
        self._clocks = dict(backlog.clocks)
        self._sent: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict[int, int](int))
        self._classes = list(backlog.classes)
        self.crews: dict[str, frozenset[str]] = {}
        self.batches = {load.batch: _batch(load, backlog) for load in backlog.batches}
        self._owners = {name: _owner(owner) for name, owner in backlog.owners.items()}
        for load in backlog.batches:
            self._enter(load)
        for level, turns in backlog.turns.items():
            for owner, turn in turns.items():
                self._ready[level].put(owner, turn)

    def settle(self) -> None:
        """Reindex every batch: the ledger may have been read before it noticed that a window changed."""
        for name in self.batches:
            self.reindex(name)

    def _enter(self, load: BatchBacklog) -> None:
        owner = self._owners.setdefault(load.owner, _owner(OwnerLoad()))
        owner.flying += len(load.flying)
        for flying in load.flying:
            if not flying.runs:
                self._sent[flying.lane][flying.priority] += 1
        for line in load.waiting:
            if line.turn is not None:
                self._shares[line.lane, line.priority, load.owner].put(load.batch, line.turn)
                owner.levels.setdefault((line.lane, line.priority))

    # -- pump.lua ------------------------------------------------------------------------------------------------

    def next_choice(self, profile: str) -> NextJob | None:
        """Return what pump would dispatch next on the lanes of a profile; None if nothing."""
        if not self._crew(profile):
            return None
        if self._classes:
            self._classes = [lane for lane in self._classes if profile_of(lane) != profile or self._is_busy(lane)]
        lanes = [profile, *self._classes_of(profile)]
        for priority in self._priorities(lanes):
            best: NextJob | None = None
            for lane in lanes:
                ready = self._ready.get((lane, priority))
                first = ready.first() if ready else None
                if first is None or not self._has_room(lane, priority, lanes):
                    continue
                turn = self._turn_of(lane, priority, *first)
                if best is None or (turn.owner_start, turn.start) <= (best.owner_start, best.start):
                    best = turn
            if best is not None:
                return best
        return None

    def dispatch(self, choice: NextJob, clips: int) -> None:
        """Dispatch some clips of a batch as one, as `pump.lua` dispatches a job."""
        batch, owner = self.batches[choice.batch], self._owners[choice.owner]
        profile, level = profile_of(choice.lane), (choice.lane, choice.priority)
        at = (profile, choice.priority)
        lanes = [profile, *self._classes_of(profile)]
        finish = choice.start + clips / batch.load.weight
        owner_finish = choice.owner_start + clips / owner.weight
        self._clocks[at] = choice.owner_start
        owner.clocks[at], owner.turns[at] = choice.start, owner_finish
        if batch.load.priority == choice.priority:
            batch.used[profile] = finish
        for lane in lanes:
            if choice.owner in self._ready[lane, choice.priority]:
                self._ready[lane, choice.priority].put(choice.owner, owner_finish)
            share = self._shares[lane, choice.priority, choice.owner]
            if choice.batch in share:
                share.put(choice.batch, finish)
        batch.waiting[level] -= clips
        batch.taken[level] += clips
        self._sent[choice.lane][choice.priority] += 1
        self._count_flight(choice.batch, 1)
        self.reindex(choice.batch)

    def _turn_of(self, lane: str, priority: int, owner_start: float, owner: str) -> NextJob:
        share = self._shares[lane, priority, owner].first()
        if share is None:
            raise LookupError(f"owner {owner!r} is ready on {lane} without a batch that is")  # our bug
        start, batch = share
        return NextJob(batch=batch, lane=lane, priority=priority, owner=owner, owner_start=owner_start, start=start)

    def _crew(self, lane: str) -> frozenset[str]:
        return self.crews.get(lane, frozenset())

    def _priorities(self, lanes: Collection[str]) -> Iterator[int]:
        for priority in range(9, -1, -1):
            if any(self._ready.get((lane, priority)) for lane in lanes):
                yield priority

    def _classes_of(self, profile: str) -> list[str]:
        return [lane for lane in self._classes if profile_of(lane) == profile]

    def _is_busy(self, lane: str) -> bool:
        return any(self._sent[lane].values()) or any(self._ready.get((lane, level)) for level in range(10))

    def _sent_of(self, lanes: Collection[str], priority: int) -> int:
        """Count what is dispatched at a priority and above: a less urgent job must not block an urgent one."""
        return sum(count for lane in lanes for at, count in self._sent[lane].items() if at >= priority)

    def _has_room(self, lane: str, priority: int, lanes: list[str]) -> bool:
        """Whether a lane may have another message. A worker of a class also takes jobs of its profile's general lane.

        Example: depth 2, workers a (class x) and b (no class). The profile has 4 places, class x has 2. With 2 messages
        on x, the general lane has 2 places left; with 3 on the general lane, x has 1 left, not 2.
        """
        general, classes = lanes[0], lanes[1:]
        places = self._depth * len(self._crew(general))
        sent = self._sent_of([lane], priority)
        if not classes:
            return sent < places
        of_classes = self._sent_of(classes, priority)
        if lane == general:
            return sent + min(of_classes, self._places(classes)) < places
        near = [other for other in classes if self._crew(other) & self._crew(lane)]
        return (
            sent < self._depth * len(self._crew(lane))
            and self._sent_of(near, priority) < self._places(near)
            and self._sent_of([general], priority) + of_classes < places
        )

    def _places(self, classes: Collection[str]) -> int:
        return self._depth * len(frozenset[str]().union(*(self._crew(lane) for lane in classes)))

    # -- move.lua ------------------------------------------------------------------------------------------------

    def claimed(self, lane: str, priority: int) -> None:
        """Count a message as taken."""
        self._sent[lane][priority] -= 1

    def ended(self, name: str) -> None:
        """Count something of a batch as ended."""
        self._count_flight(name, -1)
        self.reindex(name)

    def put_back(self, name: str, lane: str, priority: int, clips: int) -> None:
        """Put what was dispatched as one back in line, at its old place."""
        batch = self.batches[name]
        batch.waiting[lane, priority] = batch.waiting.get((lane, priority), 0) + clips
        batch.taken[lane, priority] -= clips
        self._sent[lane][priority] -= 1
        self.ended(name)

    def reindex(self, name: str) -> None:
        """Enter a batch into its owner's shares if it may run, or remove it."""
        batch = self.batches[name]
        fit = batch.may_run and (batch.load.cap == 0 or batch.flying < batch.load.cap)
        for (lane, priority), count in batch.waiting.items():
            self._place_batch(batch, lane, priority, fit=fit and count > 0)

    def _place_batch(self, batch: PlannedBatch, lane: str, priority: int, *, fit: bool) -> None:
        name, owner_name = batch.load.batch, batch.load.owner
        share, owner = self._shares[lane, priority, owner_name], self._owners[owner_name]
        if fit and name not in share:
            profile = profile_of(lane)
            used = batch.used.get(profile, 0.0) if priority == batch.load.priority else 0.0
            share.put(name, max(used, owner.clocks.get((profile, priority), 0.0)))
            owner.levels.setdefault((lane, priority))
            self._place_owner(owner_name, lane, priority)
        elif name in share and not fit:
            share.drop(name)
            if not share:
                owner.levels.pop((lane, priority), None)
                self._place_owner(owner_name, lane, priority)

    def _place_owner(self, name: str, lane: str, priority: int) -> None:
        owner, ready = self._owners[name], self._ready[lane, priority]
        fit = (owner.cap == 0 or owner.flying < owner.cap) and bool(self._shares[lane, priority, name])
        if fit and name not in ready:
            at = (profile_of(lane), priority)
            ready.put(name, max(owner.turns.get(at, 0.0), self._clocks.get(at, 0.0)))
            if class_of(lane) and lane not in self._classes:
                self._classes.append(lane)
        elif name in ready and not fit:
            ready.drop(name)

    def _count_flight(self, batch: str, by: int) -> None:
        name = self.batches[batch].load.owner
        owner = self._owners[name]
        self.batches[batch].flying += by
        owner.flying += by
        if owner.cap and owner.flying in (owner.cap, owner.cap - 1):
            for lane, priority in tuple(owner.levels):
                self._place_owner(name, lane, priority)


def _owner(load: OwnerLoad) -> Owner:
    return Owner(
        weight=load.weight,
        cap=load.cap,
        clocks=dict(load.clocks),
        turns=dict(load.turns),
        levels=dict.fromkeys(load.levels),
    )


def _batch(load: BatchBacklog, backlog: Backlog) -> PlannedBatch:
    waiting: Mapping[Level, int] = {(line.lane, line.priority): line.count for line in load.waiting}
    if not load.waiting and not load.flying:
        waiting = {(lane, load.priority): count for lane, count in load.left.items()}
    return PlannedBatch(
        load=load,
        waiting=dict(waiting),
        flying=len(load.flying),
        used=dict(load.used),
        paused=load.paused,
        shut=load.shut,
        early=load.start is not None and load.start > backlog.now,
        expired=load.expires is not None and load.expires <= backlog.now,
        unmet=set(load.after),
    )
