"""`python benchmarks/ledger.py`: how fast the ledger takes jobs, what a job costs in memory, what a function costs.

On an embedded Valkey with its append-only file. Times are the server's own, from its slow log: the network and
Python are not in them, but they are the time for which all other clients wait.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from redis import Redis

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Dispatch, Ledger, Result, WorkerInfo
from reelmill_common.ledger.library import library
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

LANE = "tiny"
FASTEST_US = 15
"""The slow log also gets the commands inside functions. They are shorter than this, and no function is."""
FUNCTIONS = ("pump", "claim", "renew", "finish")
PROMPT = (
    "A red fox walks through deep snow at dawn, soft light between birches, breath visible, slow pan, take {row:06d}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Server time of one function, in microseconds, with so many jobs waiting in so many batches."""

    name: str
    waiting: int
    batches: int
    calls: int
    p50_us: float
    p99_us: float
    max_us: float


def main() -> None:
    """Run everything and print tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to submit and to resubmit")
    parser.add_argument("--waiting", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="sizes of the queue")
    parser.add_argument("--batches", type=int, default=1_000, help="batches that the waiting jobs are in")
    parser.add_argument("--cycles", type=int, default=2_000, help="jobs to pump, claim and finish at each size")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer.start(Path(folder))
        try:
            rates, bytes_waiting, bytes_finished = bulk(server.url, options.rows)
            costs = [
                cost for size in options.waiting for cost in cycle(server.url, size, options.batches, options.cycles)
            ]
        finally:
            server.stop()
    host = {"python": platform.python_version(), "cores": os.cpu_count(), "redis-py": version("redis")}
    if options.json:
        memory = {"bytes_waiting": bytes_waiting, "bytes_finished": bytes_finished}
        print(json.dumps({"host": host, **rates, **memory, "costs": [asdict(cost) for cost in costs]}))
        return
    print("  ".join(f"{name} {value}" for name, value in host.items()))
    for name, rate in rates.items():
        print(f"{name:>10}: {options.rows:,} rows in {options.rows / rate:.1f} s = {rate:,.0f} rows/s")
    print(f"    memory: {bytes_waiting:,.0f} bytes a waiting job, {bytes_finished:,.0f} a finished one")
    print(f"{'function':>10}{'waiting':>10}{'batches':>9}{'calls':>8}{'p50 us':>9}{'p99 us':>9}{'max us':>9}")
    for cost in costs:
        print(
            f"{cost.name:>10}{cost.waiting:>10,}{cost.batches:>9,}{cost.calls:>8,}"
            f"{cost.p50_us:>9,.0f}{cost.p99_us:>9,.0f}{cost.max_us:>9,.0f}"
        )


def bulk(url: str, rows: int) -> tuple[dict[str, float], float, float]:
    """Submit rows twice and finish some; return rows per second, and bytes per waiting and per finished job."""
    with emptied(url) as client, Ledger.connect(Settings(redis_url=url)) as ledger:
        before = used(client)
        rates: dict[str, float] = {}
        for name in ("submit", "resubmit"):
            started = time.perf_counter()
            done = ledger.batches.submit(Batch(name="bulk"), make_jobs("bulk", rows))
            rates[name] = rows / (time.perf_counter() - started)
            assert (done.added, done.unchanged) == ((rows, 0) if name == "submit" else (0, rows))
        waiting = used(client)
        start_workers(ledger, 25)
        finished = sum(1 for _ in run(ledger, min(rows, 10_000)))
        events = client.memory_usage("reelmill:{main}:events", samples=0) or 0  # capped: not part of a job's cost
        return (
            rates,
            (waiting - before) / rows,
            (used(client) - events - waiting) / finished + (waiting - before) / rows,
        )


def cycle(url: str, waiting: int, batches: int, cycles: int) -> list[Cost]:
    """Fill the queue, pump, claim, renew and finish jobs, and read the functions' times from the server's slow log."""
    batches = min(batches, waiting)
    with emptied(url) as client, Ledger.connect(Settings(redis_url=url)) as ledger:
        for number in range(batches):
            batch = Batch(name=f"b{number}", weight=1 + number % 3, priority=5)
            ledger.batches.submit(batch, make_jobs(batch.name, waiting // batches))
        start_workers(ledger, 8)
        client.config_set("slowlog-max-len", 10 * cycles)
        client.config_set("slowlog-log-slower-than", FASTEST_US)
        client.slowlog_reset()
        for _ in run(ledger, min(cycles, waiting // 2)):
            pass
        client.config_set("slowlog-log-slower-than", -1)
        log = client.slowlog_get(10 * cycles)
    names = {library().function(name): name for name in FUNCTIONS}
    times: dict[str, list[int]] = {name: [] for name in FUNCTIONS}
    for entry in log:
        command: bytes = entry["command"]  # never decoded, whatever the client does with the rest
        function = command.split(b" ", 2)[1].decode() if command.startswith(b"FCALL") else ""
        if function in names:
            times[names[function]].append(int(entry["duration"]))
    return [cost_of(name, waiting, batches, times[name]) for name in FUNCTIONS]


def cost_of(name: str, waiting: int, batches: int, times: Sequence[int]) -> Cost:
    """Return the quantiles of a function's times."""
    ranked = sorted(times)
    return Cost(
        name=name,
        waiting=waiting,
        batches=batches,
        calls=len(ranked),
        p50_us=ranked[len(ranked) // 2],
        p99_us=ranked[len(ranked) * 99 // 100],
        max_us=ranked[-1],
    )


def run(ledger: Ledger, count: int) -> Iterator[str]:
    """Run that many jobs as a farm in full swing does: claim, renew, finish, pump the next."""
    messages: deque[Dispatch] = deque(ledger.dispatch.pump(LANE, depth=2))
    for done in range(count):
        if done % 200 == 0:
            for worker in ledger.workers.all():
                ledger.workers.beat(worker.name)
        item = messages.popleft()
        claimed = ledger.attempts.claim(item.job_id, item.generation, "gpu0@host", lease_s=600)
        assert isinstance(claimed, Claimed)
        ledger.attempts.renew(item.job_id, claimed.token, lease_s=600)
        assert ledger.attempts.finish(item.job_id, claimed.token, make_result(item.job_id), index=True)
        messages += ledger.dispatch.pump(LANE, depth=2)
        yield item.job_id


def make_jobs(batch: str, count: int) -> Iterator[RenderJob]:
    """Yield jobs with a prompt of usual length, each another."""
    for row in range(count):
        yield RenderJob(batch=batch, row=f"{row:06d}", spec=RenderSpec(prompt=PROMPT.format(row=row), profile=LANE))


def make_result(job_id: str) -> Result:
    """Return a result of the size that real ones have."""
    seconds = {"encode_text": 0.012, "denoise": 2.113, "decode": 0.341, "mux": 0.218, "upload": 0.094}
    key = f"bulk/000123-{job_id[:8]}.mp4"
    return Result(
        key=key,
        sha256="a1" * 32,
        size_bytes=1_234_567,
        latents_sha256="b2" * 32,
        seconds=seconds,
        gpu_s=2.466,
        energy_j=1498.125,
    )


def start_workers(ledger: Ledger, count: int) -> None:
    """Enter ready workers, so that pump has room."""
    for number in range(count):
        ledger.workers.register(f"gpu{number}@host", LANE, WorkerInfo(pid=number))
        ledger.workers.ready(f"gpu{number}@host", WorkerInfo(pid=number))


def emptied(url: str) -> Redis:
    """Return a client of the server, after everything on it is removed."""
    client = Redis.from_url(url, decode_responses=True)
    client.config_set(
        "auto-aof-rewrite-percentage", 0
    )  # else the fork's copies of pages are measured, not the functions
    client.flushall()
    return client


def used(client: Redis) -> int:
    """Return the bytes that the server's data takes, without the buffers of clients and of the append-only file."""
    info = client.info("memory")
    buffers = info["mem_clients_normal"] + info["mem_aof_buffer"] + info["mem_clients_slaves"]
    return int(info["used_memory"] - buffers)


if __name__ == "__main__":
    main()
