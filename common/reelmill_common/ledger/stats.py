"""Statistics: how much waits, runs and has ended on a farm, without the name of any batch or job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import Server

PAGE = 50
"""Batches that one call counts: 1 to 2 ms of the server's time."""
LIVE_STATES = (
    JobState.QUEUED,
    JobState.HELD,
    JobState.DISPATCHED,
    JobState.RUNNING,
    JobState.CANCEL_REQUESTED,
)
ENDED_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
BATCH_STATES = (BatchState.ACTIVE, BatchState.PAUSED, BatchState.DONE, BatchState.SCHEDULED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRow:
    """The jobs of one lane, priority and kind of batch that have not ended.

    Attributes:
        priority: The jobs' own, or else that of their batches: 0 to 9, 9 most urgent.
        batch_state: `active`, `paused`, or `scheduled` for one that may not run yet or now.
        counts: Jobs by state.
        oldest_wait_s: Seconds since the oldest of those that are queued was submitted; 0 if none is.
    """

    lane: str
    priority: int
    batch_state: BatchState
    counts: Mapping[JobState, int]
    oldest_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """All jobs and batches of a farm at one time.

    Attributes:
        ended: Jobs by how they ended, of all batches that the ledger keeps. A retried one counts no more.
        batches: Batches by state.
    """

    lines: Sequence[StatsRow]
    ended: Mapping[JobState, int]
    batches: Mapping[BatchState, int]


def read_stats(server: Server, keys: Keys) -> QueueStats:
    """Count all batches, in pages that hold up the server for a few milliseconds each."""
    (total,) = server.read([("ZCARD", keys.batches)])
    pages = [(start, start + PAGE - 1) for start in range(0, max(1, total), PAGE)]
    answers = server.run_pages("stats", pages)
    rows: dict[tuple[str, int, int], list[int]] = {}
    for lane, priority, kind, wait_ms, *counts in (row for answer in answers for row in answer[0]):
        known = rows.setdefault((lane, priority, kind), [-1] + [0] * len(counts))
        rows[lane, priority, kind] = [max(known[0], wait_ms), *map(sum, zip(known[1:], counts, strict=True))]
    return QueueStats(
        lines=[_line(*place, *counts) for place, counts in rows.items()],
        ended=dict(zip(ENDED_STATES, _sums(answer[1] for answer in answers), strict=True)),
        batches=dict(zip(BATCH_STATES, _sums(answer[2] for answer in answers), strict=True)),
    )


def _sums(lists: Iterable[Sequence[int]]) -> list[int]:
    return [sum(numbers) for numbers in zip(*lists, strict=True)]


def _line(lane: str, priority: int, kind: int, wait_ms: int, *counts: int) -> StatsRow:
    return StatsRow(
        lane=lane,
        priority=priority,
        batch_state=BATCH_STATES[kind - 1],
        counts=dict(zip(LIVE_STATES, counts, strict=True)),
        oldest_wait_s=max(0, wait_ms) / 1000,
    )
