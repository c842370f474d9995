"""`python benchmarks/retention.py`: memory of Redis over some days of a farm that archives and forgets, in small.

Everything is a thousandth: 1,000 H100s make 73.8 million clips a day, these days have 73,800 jobs in batches that
end, and `maxmemory` is a thousandth of `--gb`. The ledger, its functions, the archive and the pruner are real, jobs are
claimed and finished in turn; only the render is left out. Prints what Redis uses after each batch.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from scale_farm import PROFILE, make_jobs, make_result

from reelmill_common.archive import newest_archive
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger, WorkerInfo, base
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.views import result_json
from reelmill_common.services.pruner import Pruner
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_producer.embedded.valkey import ValkeyServer

DAY_JOBS = 73_800
SCALE = 1000
AT_ONCE = 50
"""Jobs that are dispatched, claimed and finished together."""
WARM_UP = 6
"""Batches before the first day: the event stream, whose length is bounded and no thousandth, is full then."""
WORKER = "gpu0@host0001"


def main() -> None:
    """Run the days and print a line for each batch, and the least and most of each day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--batches", type=int, default=24, help="batches of a day")
    parser.add_argument("--gb", type=float, default=16.0, help="`maxmemory` of the real farm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer.start(Path(folder) / "valkey")
        try:
            run(server, Path(folder), options)
        finally:
            server.stop()


def run(server: ValkeyServer, folder: Path, options: argparse.Namespace) -> None:
    """Submit, finish and forget batch after batch."""
    base.LIVE_S = 3600.0
    settings = Settings(redis_url=server.url, profile=PROFILE, store_url=f"file://{folder}/clips", prune_hours=720)
    client, store = redis.Redis.from_url(server.url), open_store(settings)
    with Ledger.connect(settings) as ledger:
        ledger.workers.register(WORKER, PROFILE, WorkerInfo())
        ledger.workers.ready(WORKER, WorkerInfo())
        pruner, used = Pruner(settings=settings, early_s=0.0), list[int]()
        for number in range(WARM_UP):
            make(ledger, f"warm-{number}", DAY_JOBS // 24)
            ledger.retention.prune_batch(ledger.batches.get(f"warm-{number}"))
        empty = ledger.overview.memory().used_bytes
        client.config_set("maxmemory", empty + int(options.gb * 1e9 / SCALE))
        for number in range(round(options.days * options.batches)):
            make(ledger, f"b{number:04d}", DAY_JOBS // options.batches)
            client.delete(f"{Keys(settings.farm).prefix}prune_turn")  # it lasts five minutes, a batch here a second
            highest = ledger.overview.memory().used_bytes - empty
            pruned = pruner.round(ledger, store)
            used.append(highest)
            line = {
                "day": round((number + 1) / options.batches, 2),
                "used_gb": gb(highest),
                "after_gb": gb(ledger.overview.memory().used_bytes - empty),
                "batches": len(ledger.batches.all()),
                "forgotten": len(pruned),
            }
            print(json.dumps(line), flush=True)
        first = newest_archive(store, "b0000") if len(ledger.batches.all()) < len(used) else ""
    half = len(used) // 2
    found: dict[str, Any] = {
        "limit_gb": options.gb,
        "most_gb_first_half": gb(max(used[:half])),
        "most_gb_second_half": gb(max(used[half:])),
        "archive_of_the_first": first,
    }
    print(json.dumps(found))


def make(ledger: Ledger, batch: str, count: int) -> None:
    """Submit a batch and let it be finished."""
    ledger.batches.submit(Batch(name=batch), make_jobs(batch, count))
    finish_all(ledger)


def gb(used_bytes: int) -> float:
    """Return what that is on the real farm."""
    return round(used_bytes * SCALE / 1e9, 2)


def finish_all(ledger: Ledger) -> None:
    """Let all that waits be claimed and stored."""
    server = ledger.batches._server  # noqa: SLF001 - it sends many calls in one round trip
    while chosen := ledger.dispatch.pump(PROFILE, depth=AT_ONCE):
        word = secrets.token_hex(4)
        claims = [(item.job_id, item.generation, WORKER, 600, word, base.LIVE_S) for item in chosen]
        held = [(item.job_id, answer[2]) for item, answer in zip(chosen, server.run_many("claim", claims), strict=True)]
        server.run_many("finish", list(finishes(held)))


def finishes(held: list[tuple[str, str]]) -> Iterator[tuple[str | float, ...]]:
    """Yield the arguments by which jobs are finished, as `Attempts.finish` has them."""
    for job_id, token in held:
        result = make_result(job_id)
        yield job_id, token, result.key, result_json(result), result.size_bytes, 1170, 748_125, "1", ""


if __name__ == "__main__":
    main()
