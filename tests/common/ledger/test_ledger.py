from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import redis

from common.ledger_audit import audit, snapshot
from common.ledger_steps import LANE, make_jobs, make_result, start_worker
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Claimed, Ledger, Refused
from reelmill_common.settings import Settings

JOBS = 240
WORKERS = ("gpu0@a", "gpu1@a", "gpu0@b", "gpu1@b")
FAILS_ONCE = frozenset({3, 4, 70, 120, 121, 122, 190, 239})
"""Rows that fail on their first try."""
SUSPECTS = frozenset({70, 190})
"""Those of them that put the worker under suspicion. Three in a row would quarantine it, and it would claim no more."""


def test_many_workers_at_once_render_each_job_once(ledger: Ledger, settings: Settings) -> None:
    jobs = make_jobs("night", JOBS)
    for worker in WORKERS:
        start_worker(ledger, worker)

    with ThreadPoolExecutor(len(WORKERS) + 2) as threads:
        submitted = threads.submit(ledger.batches.submit, Batch(name="night"), jobs)
        submitted_too = threads.submit(ledger.batches.submit, Batch(name="night"), jobs)
        published = [threads.submit(work, ledger, worker) for worker in WORKERS]
        keys = Counter(key for future in published for key in future.result())
        added = submitted.result().added + submitted_too.result().added

    assert added == JOBS
    assert keys == Counter(job.job_id for job in jobs)
    batch = ledger.batches.get("night")
    assert (batch.state, batch.counts[JobState.SUCCEEDED]) == (BatchState.DONE, JOBS)
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        audit(snapshot(client, settings.farm))


def work(ledger: Ledger, worker: str) -> list[str]:
    """Work until all is done, hearing every message twice and failing some jobs once; return what was published."""
    published: list[str] = []
    deadline = time.monotonic() + 120
    while [batch.counts[JobState.SUCCEEDED] for batch in ledger.batches.all()] != [JOBS]:
        assert time.monotonic() < deadline, ledger.batches.all()
        for item in ledger.dispatch.pump(LANE, depth=2):
            claimed = ledger.attempts.claim(item.job_id, item.generation, worker, lease_s=600)
            if claimed is Refused.AVOIDED:  # it failed here, so it is left to the others for a while
                continue
            assert isinstance(claimed, Claimed)
            assert ledger.attempts.claim(item.job_id, item.generation, worker, lease_s=600) is Refused.NOT_DISPATCHED
            row = int(claimed.row.removeprefix("r"))
            if claimed.attempt == 1 and row in FAILS_ONCE:
                code = "out_of_memory" if row in SUSPECTS else "delivery_lost"
                assert ledger.attempts.fail(item.job_id, claimed.token, code, "once", retryable=True)
            elif ledger.attempts.finish(item.job_id, claimed.token, make_result(item.job_id)):
                published.append(item.job_id)
    return published
