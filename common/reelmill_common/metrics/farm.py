"""The farm's metrics, read from the ledger at each scrape; they name no prompt, batch, job or worker.

Workers have metrics of their own, of stages and GPUs; these exist while no worker lives.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from reelmill_common.contract import profile_of
from reelmill_common.errors import InvalidJob, LedgerRefused, LedgerUnavailable
from reelmill_common.forecast import Aims, Autoscaler, Course, Outlook
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, QueueStats, WorkerState, WorkerView
from reelmill_common.ledger.stats import StatsRow
from reelmill_common.metrics.exporter import gauge
from reelmill_common.profiles import PROFILES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

RATE_WINDOW_S = 3600.0
"""Seconds over which clips an hour are measured."""
RATE_FROM_S = 10.0
"""Seconds that must have been seen before there is a rate."""
_GROUP = ("lane", "priority", "batch_state")


class Rate:
    """Clips an hour, from counts taken now and then. A retried job lowers a count, not the rate."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def see(self, at: float, count: int) -> None:
        """Take a count at a time in seconds, by the same clock and of the same farm as before."""
        grown = 0
        if self._seen:
            _, last, sum_before = self._seen[-1]
            grown = sum_before + max(0, count - last)
        self._seen.append((at, count, grown))
        while len(self._seen) > 1 and self._seen[1][0] <= at - RATE_WINDOW_S:
            self._seen.popleft()

    def an_hour(self) -> float | None:
        """Return the rate, or None while too little has been seen."""
        if not self._seen or (span := self._seen[-1][0] - self._seen[0][0]) < RATE_FROM_S:
            return None
        return (self._seen[-1][2] - self._seen[0][2]) * 3600 / span


class FarmCollector:
    """What Prometheus' client library calls at each scrape. Safe for several threads: scrapes wait for each other."""

    def __init__(self, ledger: Ledger, *, depth: int = 2, aims: Aims | None = None) -> None:
        self._ledger = ledger
        self._outlook = Outlook(ledger=ledger, depth=depth)
        self._lock = threading.Lock()
        self._rate = Rate()
        self._autoscaler = Autoscaler(aims)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known without asking the ledger at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, or only that the ledger does not answer."""
        try:
            with self._lock:
                stats, workers, memory = (
                    self._ledger.overview.stats(),
                    self._ledger.workers.all(),
                    self._ledger.overview.memory(),
                )
                self._rate.see(time.monotonic(), stats.ended[JobState.SUCCEEDED])
                rate = self._rate.an_hour()
                remaining_s = _remaining_s(self._outlook.course())
                late = _late(self._outlook.course())
                wanted = self._look()
        except (LedgerUnavailable, LedgerRefused):
            yield gauge("reelmill_ledger_up", "Whether the ledger answers.", (), [((), 0)])
            return
        yield gauge("reelmill_ledger_up", "Whether the ledger answers.", (), [((), 1)])
        yield gauge("reelmill_redis_memory_bytes", "Memory that Redis uses.", (), [((), memory.used_bytes)])
        yield gauge(
            "reelmill_redis_memory_limit_bytes",
            "Memory at which Redis refuses writes; 0: no limit.",
            (),
            [((), memory.limit_bytes)],
        )
        yield gauge(
            "reelmill_redis_full_seconds",
            "Time until that limit, at the pace of the last hour and if nothing is forgotten; NaN: not known.",
            (),
            [((), math.nan if memory.full_in_s is None else memory.full_in_s)],
        )
        yield from _jobs(stats)
        yield from _progress(rate, remaining_s, late)
        yield from _workers(workers, wanted)

    def wanted(self, query: Mapping[str, Sequence[str]]) -> dict[str, object]:
        """Return how many workers are wanted: `workers` together, and each of `lanes`; what KEDA's `metrics-api` reads.

        Args:
            query: `lane`, repeatable: only these, those of one kind of machine. Without it all.

        Raises:
            InvalidJob: A lane is not of a known profile.
            LedgerUnavailable, LedgerRefused: The ledger does not answer; what scales keeps the number that it has.
        """
        for lane in (asked := query.get("lane", ())):
            if profile_of(lane) not in PROFILES:
                raise InvalidJob(
                    f"lane {lane[:80]!r} is unknown; use a profile ({', '.join(PROFILES)}) or PROFILE@CLASS"
                )
        with self._lock:
            wanted = self._look()
            lanes = asked or wanted
            return {"workers": self._autoscaler.sum_of(lanes), "lanes": {lane: wanted.get(lane, 0) for lane in lanes}}

    def _look(self) -> dict[str, int]:
        course = self._outlook.course()
        wanted = self._autoscaler.look(course.backlog, self._outlook.paces, time.monotonic())
        bounded = self._autoscaler.aims.bounded
        return {**{lane: bounded(lane, 0) for lane in PROFILES}, **wanted}

    def targets(self, query: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, object]]:
        """Return where live workers serve their metrics, in the form of Prometheus' HTTP service discovery.

        Raises:
            LedgerUnavailable, LedgerRefused: The ledger does not answer; Prometheus keeps the targets that it has.
        """
        del query
        with self._lock:
            workers = self._ledger.workers.all()
        return [
            {"targets": [view.info.metrics], "labels": {"lane": view.lane}}
            for view in workers
            if view.info.metrics and view.state.is_fit
        ]


def _jobs(stats: QueueStats) -> Iterator[Metric]:
    yield gauge(
        "reelmill_jobs",
        "Jobs that have not ended.",
        (*_GROUP, "state"),
        [((*_group(line), state), count) for line in stats.lines for state, count in line.counts.items()],
    )
    yield gauge(
        "reelmill_oldest_wait_seconds",
        "Time since the oldest queued job was submitted.",
        _GROUP,
        [(_group(line), line.oldest_wait_s) for line in stats.lines],
    )
    yield gauge(
        "reelmill_jobs_ended",
        "Jobs by how they ended, of the batches that the ledger keeps; a retried job leaves.",
        ("state",),
        [((state,), count) for state, count in stats.ended.items()],
    )
    batches = [((state,), count) for state, count in stats.batches.items()]
    yield gauge("reelmill_batches", "Batches by state.", ("state",), batches)


def _remaining_s(course: Course) -> float | None:
    """Return the time until all that may run now is done; None if nothing is known of it."""
    now = course.backlog.now
    active = [load for load in course.backlog.batches if not (load.paused or load.shut or load.after)]
    names = [load.batch for load in active if load.left and (load.start is None or load.start <= now)]
    ends = [end for end in map(course.work_ends_at, names) if end is not None]
    return None if names and not ends else (max(ends, default=now) - now).total_seconds()


def _late(course: Course) -> int:
    """Count the batches that will miss their deadline by the forecast, or have missed it."""
    now = course.backlog.now
    ends = [(load.finish_by, course.finish_of(load.batch)) for load in course.backlog.batches]
    return sum(by is not None and (by < now or (end is not None and end > by)) for by, end in ends)


def _progress(rate: float | None, remaining_s: float | None, late: int) -> Iterator[Metric]:
    yield gauge(
        "reelmill_batches_late",
        "Open batches that will miss their deadline by the forecast, or have missed it.",
        (),
        [((), late)],
    )
    if rate is not None:
        yield gauge("reelmill_clips_per_hour", "Clips stored, over the last hour at most.", (), [((), rate)])
    yield gauge(
        "reelmill_remaining_seconds",
        "Time until all that may run now is done, by the forecast; NaN: not known.",
        (),
        [((), math.nan if remaining_s is None else remaining_s)],
    )


def _group(line: StatsRow) -> tuple[str, str, str]:
    return line.lane, str(line.priority), line.batch_state


def _workers(workers: Iterable[WorkerView], wanted: Mapping[str, int]) -> Iterator[Metric]:
    # Every state of every lane is there, as 0 if need be: an alert on a series that does not exist never fires.
    counts: dict[tuple[str, ...], int] = {(lane, state): 0 for lane in PROFILES for state in WorkerState}
    leases: dict[tuple[str, ...], int] = {(lane,): 0 for lane in PROFILES}
    for worker in workers:
        key = (worker.lane, worker.state)
        counts[key] = counts.get(key, 0) + 1
        leases[(worker.lane,)] = leases.get((worker.lane,), 0) + len(worker.jobs)
    yield gauge("reelmill_workers", "Workers by state.", ("lane", "state"), list(counts.items()))
    yield gauge(
        "reelmill_workers_wanted",
        "Workers that a lane's work needs to be done in time, held for a while; 0: nothing may run.",
        ("lane",),
        [((lane,), count) for lane, count in wanted.items()],
    )
    yield gauge("reelmill_leases", "Jobs under a worker's lease.", ("lane",), list(leases.items()))
