"""The course of a farm: its next hours, simulated event by event from one reading of the ledger.

Events are ends of clips, changes of windows, starts and expiries. Invariant: nothing changes between two events, and
after each one `_settle` leaves no message that pump would send and no idle worker that could claim one (`order`).

Example: two workers, depth 2, a batch of five clips of 30 s. At 0 s pump sends four, the workers claim two of them, and
pump sends the fifth. At 30 s both clips end and each worker claims another, at 60 s one claims the last: done at 90 s.

Above `LUMPS` waiting clips several are dispatched as one, so that the cost is bounded whatever waits.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count

from reelmill_common.calendar.windows import Windows
from reelmill_common.contract import profile_of
from reelmill_common.forecast.messages import Messages
from reelmill_common.forecast.order import NextJob, Order, PlannedBatch
from reelmill_common.forecast.paces import Paces
from reelmill_common.forecast.starts import Position, Start, Target, Task, Watch
from reelmill_common.forecast.workers import UNMEASURED_S, Worker, clip_seconds, profile_seconds, workers_of
from reelmill_common.ledger.backlog import Backlog, Flying, Level

HORIZON = timedelta(days=60)
"""How far ahead a course is simulated."""
LUMPS = 3000
"""Lumps in which more waiting clips than these are dispatched: about 0.1 s of one core."""
_ROUNDING_S = 1e-6

_FINISH, _CHANGE, _COUNT = range(3)  # the order of events at one time


class Course:
    """What becomes of a farm. Call `play` once, then read the results.

    Attributes:
        finished: When each batch was done.
        left_by: Clips by batch that are left at the time `by` of `play`.
        expired: Clips by batch that expire.
        starts: What workers start, in order.

    Args:
        backlog: The farm.
        paces: What clips take.
        depth: Jobs kept dispatched for each worker.
    """

    def __init__(self, backlog: Backlog, paces: Paces, *, depth: int = 2) -> None:
        self.backlog, self._paces = backlog, paces
        self.finished: dict[str, datetime] = {}
        self.left_by: dict[str, int] = {}
        self.expired: dict[str, int] = {}
        self.starts: list[Start] = []
        self._order = Order(backlog, depth=depth)
        self._batches = self._order.batches
        self._now_s = 0.0
        self._serial = count()
        self._events: list[tuple[float, int, int, Callable[[], None]]] = []
        self._messages = Messages()
        self._running: dict[int, Task] = {}
        self._workers = {worker.name: worker for worker in workers_of(backlog, paces)}
        self._idle = list(self._workers)
        self._served = {lane for worker in self._workers.values() for lane in worker.capacity.lanes}
        self._measured = {load.batch: clip_seconds(load, backlog, paces) for load in backlog.batches}
        self._clip_s = {name: seconds or UNMEASURED_S for name, seconds in self._measured.items()}
        self._closes: dict[str, float] = defaultdict(lambda: math.inf)
        self._profiles = sorted({profile_of(worker.lane) for worker in backlog.hands})
        self._watch: Watch | None = None
        self._unknown: dict[str, str] = {}
        self._last: dict[str, datetime] = {}
        self._of_level: Counter[Level] = Counter()
        for batch in self._batches.values():
            if not batch.paused:
                self._of_level.update(batch.waiting)
        self._lump = math.ceil(self._of_level.total() / LUMPS) or 1

    @property
    def now(self) -> datetime:
        """The simulated time."""
        return self.backlog.now + timedelta(seconds=self._now_s)

    def play(self, by: datetime | None = None, target: Target | None = None) -> None:
        """Simulate until nothing more happens, for 60 days, or until the target has started.

        Args:
            by: A time at which what is left is counted.
            target: A job whose position is wanted.
        """
        self._watch = None if target is None else Watch(target)
        self._begin(by)
        end_s = HORIZON.total_seconds()
        self._settle()
        while self._events and (self._watch is None or self.position is None):
            at, kind, _, happen = heappop(self._events)
            if at > end_s or (kind == _CHANGE and self._is_over()):
                break
            self._now_s = max(self._now_s, at)
            happen()
            self._settle()
        if by is not None and not self.left_by:
            self._count_left()

    @property
    def position(self) -> Position | None:
        """What starts before the target; None if the target does not start, or none was given."""
        return self._watch.found if self._watch is not None else None

    @property
    def names(self) -> Collection[str]:
        """The names of its batches."""
        return self._batches.keys()

    # -- results, and why one is not known -----------------------------------------------------------------------

    def finish_of(self, name: str) -> datetime | None:
        """Return when a batch is done; None if that is not known."""
        return None if self.unknown(name) else self.finished[name]

    def work_ends_at(self, name: str) -> datetime | None:
        """Return when the jobs of a batch that are not held are done; None if that is not known."""
        batch = self._batches[name]
        known = self.is_timed(name) and not batch.flying and not any(batch.waiting.values())
        return self._last.get(name, self.backlog.now) if known else None

    def is_measured(self, name: str) -> bool:
        """Whether the seconds of a batch's clip are measured."""
        return self._measured[name] is not None

    def unknown(self, name: str) -> str:
        """Return why the end of a batch is not known; empty if it is."""
        if name not in self._unknown:
            self._unknown[name] = next(self._reasons(name), "")
        return self._unknown[name]

    def _reasons(self, name: str) -> Iterator[str]:
        batch, load = self._batches[name], self._batches[name].load
        if batch.paused:
            yield "it is paused"
        if expired := self.expired.get(name):
            yield f"it expires before {expired:,} of its clips have started"
        if load.held:
            yield f"{load.held:,} of its jobs are held"
        if batch.stuck:
            yield f"it waits for {', '.join(sorted(batch.unmet))}, and not all of its clips succeed"
        for lane in sorted(lane for lane, jobs in load.left.items() if jobs and lane not in self._served):
            yield f"no worker is ready for {lane}"
        for lane in sorted(load.left) if not self.is_measured(name) else ():
            if profile_seconds(profile_of(lane), self.backlog, self._paces) is None:
                yield f"no clip of {lane} has finished yet, so its pace is not known"
        if waits := [other for other in load.after if other in batch.unmet or self._is_vague(other)]:
            yield f"it waits for {', '.join(waits)}, whose end is not known"
        if name not in self.finished:
            yield f"it is not done within {HORIZON.days} days"

    def is_timed(self, name: str) -> bool:
        """Whether the times of a batch mean something: it and all that it waits for are measured."""
        after = [other for other in self._batches[name].load.after if other in self._batches]
        return self.is_measured(name) and all(map(self.is_timed, after))

    def _is_vague(self, name: str) -> bool:
        """Whether a batch ends, at a time that is not known."""
        return name not in self.expired and bool(self.unknown(name))

    # -- the start: what is in flight, and which windows are open -------------------------------------------------

    def _begin(self, by: datetime | None) -> None:
        self._take_up_flying()
        for batch in self._batches.values():
            if batch.load.start is not None and batch.early:
                self._at(batch.load.start, _CHANGE, partial(self._start, batch))
            if batch.load.expires is not None and not batch.expired:
                self._at(batch.load.expires, _CHANGE, partial(self._expire, batch))
        self._open_windows()
        if by is not None:
            self._at(by, _COUNT, self._count_left)
        self._crews()
        self._order.settle()
        for name, batch in self._batches.items():
            if batch.expired:
                self._expire(batch)
            self._finish_batch(name)

    def _take_up_flying(self) -> None:
        """Take up what is dispatched, oldest first, and what runs: a worker's newest job has its GPU."""
        flying = [(load.batch, item) for load in self.backlog.batches for item in load.flying]
        for name, item in sorted(flying, key=lambda pair: (-pair[1].since_s, pair[0])):
            task = Task(batch=name, lane=item.lane, priority=item.priority, clips=1, job_id=item.job_id)
            if not item.runs:
                self._messages.send(task)
        newest = {item.worker: item for _, item in sorted(flying, key=lambda pair: -pair[1].since_s) if item.runs}
        for name, item in flying:
            if item.runs:
                self._resume(name, item, renders=newest[item.worker] is item)

    def _resume(self, name: str, item: Flying, *, renders: bool) -> None:
        task = Task(batch=name, lane=item.lane, priority=item.priority, clips=1, job_id=item.job_id)
        worker = self._workers.get(item.worker)
        task.clip_s = self._clip_s[name] / (worker.speed if worker else 1.0)
        task.started_s = -item.since_s
        self._running[id(task)] = task
        busy = worker if renders and worker else None
        if busy:
            self._idle.remove(busy.name)
        left_s = max(0.0, task.clip_s - item.since_s)
        self._after(left_s, _FINISH, lambda: self._finish(task, busy))

    def _open_windows(self) -> None:
        texts: dict[str, tuple[list[PlannedBatch], list[Worker]]] = defaultdict(lambda: ([], []))
        for batch in self._batches.values():
            if batch.load.window:
                texts[batch.load.window][0].append(batch)
        for worker in self._workers.values():
            if worker.capacity.window:
                texts[worker.capacity.window][1].append(worker)
        for text, (batches, workers) in texts.items():
            windows = Windows.parse(text)
            self._change_windows(windows, batches, workers, self.backlog.now)
            for batch in batches:
                batch.shut = batch.shut or batch.load.closing
            for worker in workers:
                worker.rests = worker.rests or worker.capacity.rests

    # -- events --------------------------------------------------------------------------------------------------

    def _change_windows(
        self, windows: Windows, batches: list[PlannedBatch], workers: list[Worker], at: datetime
    ) -> None:
        is_open, change = windows.open_at(at), windows.next_change(at)
        closes_s = (change - self.backlog.now).total_seconds() if is_open and change is not None else math.inf
        for batch in batches:
            batch.shut = not is_open
            self._closes[batch.load.batch] = closes_s
            if batch.shut:
                self._take_back(batch.load.batch)
            self._order.reindex(batch.load.batch)
        for worker in workers:
            worker.rests, worker.closes_s = not is_open, closes_s
        self._crews()
        if change is not None:
            self._at(change, _CHANGE, lambda: self._change_windows(windows, batches, workers, change))

    def _start(self, batch: PlannedBatch) -> None:
        batch.early = False
        self._order.reindex(batch.load.batch)

    def _expire(self, batch: PlannedBatch) -> None:
        batch.expired = True
        self._take_back(batch.load.batch)
        self.expired[batch.load.batch] = sum(batch.waiting.values()) + batch.load.held
        self._order.reindex(batch.load.batch)
        batch.waiting = {}
        self._finish_batch(batch.load.batch)

    def _finish(self, task: Task, worker: Worker | None) -> None:
        del self._running[id(task)]
        if worker is not None:
            self._idle.append(worker.name)
        self._last[task.batch] = self.now
        self._order.ended(task.batch)
        self._finish_batch(task.batch)

    def _finish_batch(self, name: str) -> None:
        batch = self._batches[name]
        held = 0 if batch.expired else batch.load.held
        if name in self.finished or batch.flying or held or any(batch.waiting.values()):
            return
        self.finished[name] = self.now
        failed = bool(batch.load.unsuccessful or self.expired.get(name))
        for other in self._batches.values():
            if name not in other.unmet:
                continue
            if failed and name not in other.load.after_any:
                other.stuck = True
                continue
            other.unmet.discard(name)
            self._order.reindex(other.load.batch)

    def _count_left(self) -> None:
        for name, batch in self._batches.items():
            held = 0 if batch.expired else batch.load.held
            self.left_by[name] = sum(batch.waiting.values()) + held + self.expired.get(name, 0)
        for task in self._running.values():
            done = (self._now_s - task.started_s) / task.clip_s + _ROUNDING_S if task.clip_s else 0.0
            self.left_by[task.batch] += max(1, task.clips - int(done))
        for task in self._messages:
            self.left_by[task.batch] += task.clips

    # -- pump, and workers that claim ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Let pump send and idle workers claim, until neither can."""
        while True:
            for profile in self._profiles:
                while (choice := self._order.next_choice(profile)) is not None:
                    self._dispatch(choice)
            if not self._claim():
                return

    def _dispatch(self, choice: NextJob) -> None:
        batch, level = self._batches[choice.batch], (choice.lane, choice.priority)
        first = batch.taken[level]
        clips = 1
        if self._lump > 1:  # smaller at the end of a priority, which would otherwise wait for one worker's last lump
            workers = len(self._order.crews[choice.lane])
            clips = max(1, min(self._lump, batch.waiting[level], self._of_level[level] // (2 * workers)))
        self._of_level[level] -= clips
        self._order.dispatch(choice, clips)
        task = Task(batch=choice.batch, lane=choice.lane, priority=choice.priority, clips=clips, first=first)
        self._messages.send(task)

    def _claim(self) -> bool:
        """Let one idle worker take a message; return whether that changed anything."""
        for name in self._idle:
            worker = self._workers[name]
            task = None if worker.rests else self._messages.first(worker.capacity.lanes)
            if task is not None:
                self._take(worker, task)
                return True
        return False

    def _take(self, worker: Worker, task: Task) -> None:
        clip_s = self._clip_s[task.batch] / worker.speed
        room_s = min(worker.closes_s, self._closes[task.batch]) - self._now_s + _ROUNDING_S
        fits = task.clips if math.isinf(room_s) else min(task.clips, int(room_s / clip_s))
        if fits < 1:
            self._close(worker, task)
            return
        self._messages.take(task)
        if fits < task.clips:
            self._shorten(task, fits)
        self._order.claimed(task.lane, task.priority)
        self._idle.remove(worker.name)
        self.starts.append(Start(self._now_s, worker.name, task.batch, task.clips))
        if self._watch is not None and worker.serves(self._watch.target.lane):
            self._watch.note(task, self.now, clip_s)
        task.started_s, task.clip_s = self._now_s, clip_s
        self._running[id(task)] = task
        self._after(clip_s * task.clips, _FINISH, lambda: self._finish(task, worker))

    def _close(self, worker: Worker, task: Task) -> None:
        """Start nothing more until the window opens again: no clip fits before it closes."""
        if worker.closes_s <= self._closes[task.batch]:
            worker.rests = True
            self._crews()
        else:
            self._batches[task.batch].shut = True
            self._take_back(task.batch)
            self._order.reindex(task.batch)

    def _shorten(self, task: Task, clips: int) -> None:
        batch = self._batches[task.batch]
        batch.waiting[task.lane, task.priority] += task.clips - clips
        batch.taken[task.lane, task.priority] -= task.clips - clips
        task.clips = clips
        self._order.reindex(task.batch)

    def _take_back(self, name: str) -> None:
        """Put what a batch has dispatched back in line."""
        for task in self._messages:
            if task.batch == name:
                task.stale = True
                self._order.put_back(name, task.lane, task.priority, task.clips)

    # -- workers and time ----------------------------------------------------------------------------------------

    def _crews(self) -> None:
        """Set the workers that take jobs of each lane now."""
        crews: dict[str, set[str]] = defaultdict(set)
        for worker in self._workers.values():
            if not worker.rests:
                for lane in worker.capacity.lanes:
                    crews[lane].add(worker.name)
        self._order.crews = {lane: frozenset(names) for lane, names in crews.items()}

    def _is_over(self) -> bool:
        """Whether nothing runs, and nothing that waits will ever start."""
        return not self._running and not any(
            count
            and lane in self._served
            and not (batch.paused or batch.stuck or batch.expired)
            and not any(name not in self._batches for name in batch.unmet)
            for batch in self._batches.values()
            for (lane, _), count in batch.waiting.items()
        )

    def _at(self, time: datetime, kind: int, happen: Callable[[], None]) -> None:
        heappush(self._events, ((time - self.backlog.now).total_seconds(), kind, next(self._serial), happen))

    def _after(self, seconds: float, kind: int, happen: Callable[[], None]) -> None:
        heappush(self._events, (self._now_s + seconds, kind, next(self._serial), happen))
