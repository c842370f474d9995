"""Statistics: how much waits, runs and has ended on a farm, without the name of any batch or job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelmill_common.jobs import BatchState, JobState

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


def read_stats(answer: Any) -> QueueStats:
    """Build the statistics from `stats.lua`'s answer."""
    rows, ended, batches = answer
    return QueueStats(
        lines=[_line(*row) for row in rows],
        ended=dict(zip(ENDED_STATES, ended, strict=True)),
        batches=dict(zip(BATCH_STATES, batches, strict=True)),
    )


def _line(lane: str, priority: int, kind: int, wait_ms: int, *counts: int) -> StatsRow:
    return StatsRow(
        lane=lane,
        priority=priority,
        batch_state=BATCH_STATES[kind - 1],
        counts=dict(zip(LIVE_STATES, counts, strict=True)),
        oldest_wait_s=max(0, wait_ms) / 1000,
    )
