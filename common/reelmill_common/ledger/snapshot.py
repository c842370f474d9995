"""The snapshot: everything that runs at one time, read in a few round trips whatever the size of the farm."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelmill_common.jobs import JobState
from reelmill_common.ledger import views
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.records import Counted, WorkerState, WorkerView
from reelmill_common.ledger.server import Server
from reelmill_common.ledger.workers import read_workers

PAGE = 100
"""Batches or jobs that one call reads: about 1 ms of the server's time."""

_ENDED = tuple(state for state in JobState if state.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker has.

    Attributes:
        since_s: Seconds since it was claimed, on Redis' clock.
        seed: Seed of its noise; None if its spec cannot be read.
    """

    job_id: str
    batch: str
    row: str
    lane: str
    state: JobState
    stage: str
    worker: str
    attempt: int
    since_s: float
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch(Counted):
    """A batch with work left.

    Attributes:
        clips_per_h: Clips of it that were stored in the last hour, by hour since its first claim or clip in it.
    """

    name: str
    owner: str
    priority: int
    paused: bool
    shut: bool
    counts: Mapping[JobState, int]
    clips_per_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSnapshot:
    """What a farm does now.

    Attributes:
        workers: By name, all of them.
        in_hand: Jobs under a lease, by worker and claim.
        batches: Those with work left, the most urgent first, then the oldest.
        ended_batches: How many have none left.
        ended: Jobs of all batches by how they ended.
        clips_per_h: Clips stored in the last hour, by hour since the first claim or clip in it.
        failures: Jobs that failed in the last hour.
        sample_s: Seconds from that first one up to now.
    """

    workers: Sequence[WorkerView]
    in_hand: Sequence[RunningJob]
    batches: Sequence[OpenBatch]
    ended_batches: int
    ended: Mapping[JobState, int]
    clips_per_h: float
    failures: int
    sample_s: float

    @property
    def ready(self) -> int:
        """Workers that may claim."""
        return sum(worker.state is WorkerState.READY for worker in self.workers)

    @property
    def waiting(self) -> int:
        """Jobs that no worker has yet."""
        states = (JobState.QUEUED, JobState.DISPATCHED)
        return sum(batch.counts.get(state, 0) for batch in self.batches for state in states)


def read_snapshot(server: Server, keys: Keys, *, live_s: float) -> FarmSnapshot:
    """Read the snapshot, in pages that hold up the server for a few milliseconds each."""
    workers = read_workers(server, keys, live_s=live_s)
    stored, failures, span_ms = server.run("rates")
    batches, leased = server.read([("ZCARD", keys.batches), ("ZCARD", keys.leases)])
    whole = [_batch(row) for row in _pages(server, "snapshot_batches", batches, *views.LETTERS.values())]
    rows = _pages(server, "snapshot_jobs", leased)
    specs = server.read([("MGET", *(keys.spec(row[0]) for row in rows))])[0] if rows else ()
    hand = [_in_hand(row, spec) for row, spec in zip(rows, specs, strict=True)]
    still_open = [batch for batch in whole if batch.remaining]
    return FarmSnapshot(
        workers=workers,
        in_hand=sorted(hand, key=lambda job: (job.worker, -job.since_s)),
        batches=sorted(still_open, key=lambda batch: -batch.priority),
        ended_batches=len(whole) - len(still_open),
        ended={state: sum(batch.counts[state] for batch in whole) for state in _ENDED},
        clips_per_h=per_h(stored, span_ms / 1000),
        failures=failures,
        sample_s=span_ms / 1000,
    )


def _pages(server: Server, function: str, total: int, *args: str) -> list[Any]:
    calls: list[tuple[str | float, ...]] = [(start, start + PAGE - 1, *args) for start in range(0, total, PAGE)]
    return [row for page in (server.run_pages(function, calls)) for row in page]


def _batch(row: Sequence[Any]) -> OpenBatch:
    name, priority, owner, paused, shut, stored, span_ms, *counts = row
    return OpenBatch(
        name=name,
        owner=owner,
        priority=int(priority),
        paused=paused == "1",
        shut=shut == "1",
        counts=dict(zip(views.LETTERS, counts, strict=True)),
        clips_per_h=per_h(stored, span_ms / 1000),
    )


def _in_hand(row: Sequence[Any], spec: str | None) -> RunningJob:
    job_id, batch, name, lane, stage, worker, since_ms, attempt, letter = row
    return RunningJob(
        job_id=job_id,
        batch=batch,
        row=name,
        lane=lane,
        state=views.STATES[letter],
        stage=stage,
        worker=worker,
        attempt=attempt,
        since_s=since_ms / 1000,
        seed=_seed(spec),
    )


def _seed(spec: str | None) -> int | None:
    found = re.search(r'"seed":([0-9]+)[,}]', spec or "")  # of the canonical form: a prompt's quotes are escaped
    return int(found[1]) if found else None


def per_h(count: int, span_s: float) -> float:
    """Return what came in a span of time by hour."""
    return count * 3600 / span_s if span_s > 0 else 0.0
