"""Steps for the ledger's tests: some jobs, a ready worker, an attempt under way, its end."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Dispatch, Ledger, PolicyChange, Result, WorkerInfo
from reelmill_common.settings import Settings

LANE = "tiny"
WORKER = "gpu0@test"
LEASE_S = 600.0


def make_jobs(batch: str, count: int, *, start: int = 0, lane: str = LANE) -> list[RenderJob]:
    return [
        RenderJob(batch=batch, row=f"r{row}", spec=RenderSpec(prompt=f"clip {row} of {batch}", profile=lane))
        for row in range(start, start + count)
    ]


def submit(ledger: Ledger, batch: str, count: int, *, priority: int = 5, weight: int = 1, cap: int = 0) -> list[str]:
    jobs = make_jobs(batch, count)
    ledger.batches.submit(Batch(name=batch, priority=priority, weight=weight, max_in_flight=cap), jobs)
    return [job.job_id for job in jobs]


def start_worker(ledger: Ledger, worker: str = WORKER, lane: str = LANE) -> None:
    ledger.workers.register(worker, lane, WorkerInfo(pid=1))
    ledger.workers.ready(worker, WorkerInfo(pid=1))


def claim(ledger: Ledger, item: Dispatch, *, worker: str = WORKER, lease_s: float = LEASE_S) -> Claimed:
    answer = ledger.attempts.claim(item.job_id, item.generation, worker, lease_s=lease_s)
    assert isinstance(answer, Claimed), answer
    return answer


def begin(ledger: Ledger, *, lease_s: float = LEASE_S) -> Claimed:
    """Pump one job and claim it."""
    (item,) = ledger.dispatch.pump(LANE, depth=1)
    return claim(ledger, item, lease_s=lease_s)


def order_of(ledger: Ledger, count: int) -> list[str]:
    """Run that many jobs one by one; return the batches that they came from."""
    batches: list[str] = []
    for _ in range(count):
        claimed = begin(ledger)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
        batches.append(claimed.batch)
    return batches


def make_result(key: str = "night/r0.mp4") -> Result:
    return Result(key=key, sha256="ab" * 32, size_bytes=1234, latents_sha256="cd" * 32, seconds={"denoise": 1.5})


def submit_as(ledger: Ledger, batch: Batch, count: int) -> None:
    """Submit so many jobs under a batch's own policy."""
    ledger.batches.submit(batch, make_jobs(batch.name, count))


def change(ledger: Ledger, batch: str, policy: PolicyChange) -> None:
    """Change a batch's policy."""
    ledger.batches.set_policy(ledger.batches.get(batch), policy)


def fail_one(ledger: Ledger) -> None:
    """Let the next job fail for good."""
    claimed = begin(ledger)
    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "all frames are black", retryable=False)


def finish_one(ledger: Ledger) -> None:
    """Let the next job succeed."""
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def end_batch(ledger: Ledger, batch: str, count: int = 3) -> list[str]:
    """Submit a batch whose first clip fails, the second succeeds, and the others are cancelled."""
    start_worker(ledger)
    ids = submit(ledger, batch, count)
    claimed = begin(ledger)
    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result(f"{batch}/r1.mp4"))
    ledger.batches.cancel(batch)
    return ids


def window(ledger: Ledger, start_s: float, end_s: float) -> str:
    """Return a window from and to so many seconds from now or up to one more, by the server's clock."""
    now = ledger.timetable.now() + timedelta(seconds=1)  # whole seconds, and open only after it is made
    start, end = (now + timedelta(seconds=seconds) for seconds in (start_s, end_s))
    return f"{start:%H:%M:%S}-{end:%H:%M:%S} UTC"


def with_url(settings: Settings, url: str) -> Settings:
    """Return the settings of a farm on another server."""
    return dataclasses.replace(settings, redis_url=url)
