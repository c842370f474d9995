"""Steps for tests of the audit: clips are delivered, the record is lost, a file of the store is found."""

from __future__ import annotations

from pathlib import Path

from fixtures.bench import NODE, Bench
from fixtures.cli import Ran
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Result, WorkerInfo


def deliver(bench: Bench, batch: str = "night") -> list[Result]:
    """Let the worker do whatever of a batch waits, and return the clips of all its jobs."""

    def one() -> bool:
        bench.ledger.workers.beat(NODE)
        bench.ledger.dispatch.pump("tiny", depth=10)
        for job in bench.ledger.jobs.page(batch, states=[JobState.DISPATCHED]):
            bench.job_runner().run(job.job_id, job.generation)
        return not bench.ledger.batches.get(batch).remaining

    wait_for(one, what="the clips")
    return [job.result for job in bench.ledger.jobs.page(batch) if job.result is not None]


def wipe(bench: Bench) -> None:
    """Lose the farm's record, as FLUSHALL does."""
    redis = bench.ledger._server._redis
    redis.delete(*redis.scan_iter(f"{bench.ledger._keys.prefix}*"))
    bench.ledger.workers.register(NODE, "tiny", WorkerInfo())
    bench.ledger.workers.ready(NODE, WorkerInfo())


def path_of(bench: Bench, key: str) -> Path:
    return Path(bench.settings.store_url.removeprefix("file://")) / key


def kinds(ran: Ran) -> list[str]:
    return [line["kind"] for line in ran.jsons]
