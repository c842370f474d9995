"""Measures the queue without a model: enqueue rate, dispatch latency when idle, and the gap between two renders.

Real parts throughout: an embedded Valkey with its append-only file, `reelmill worker` with the renderer of fixed
duration, a folder store. Plain Celery runs on the same server, with the same pool, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from redis import Redis

from reelmill_common import broker
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import JobView, Ledger, WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

START_S = 120.0
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table: milliseconds, except for rates, which are jobs a second."""

    what: str
    reelmill: float
    celery: float
    unit: str
    note: str = ""


def main() -> None:
    """Run everything and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to submit")
    parser.add_argument("--messages", type=int, default=10_000, help="messages of plain Celery to send")
    parser.add_argument("--clips", type=int, default=60, help="renders for latency and gap")
    parser.add_argument("--seconds", type=float, default=0.25, help="duration of one render")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with embedded(options.seconds) as settings:
        lines = measure(settings, options)
    host = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "celery": version("celery"),
        "redis-py": version("redis"),
        "server": "valkey (embedded, AOF everysec)",
        "commit": commit(),
    }
    if options.json:
        print(json.dumps({"host": host, "lines": [asdict(line) for line in lines]}))
        return
    print("  ".join(f"{name} {value}" for name, value in host.items()))
    print(f"{'':44}{'reelmill':>10}{'celery':>10}")
    for line in lines:
        print(f"{line.what:44}{line.reelmill:>10,.1f}{line.celery:>10,.1f} {line.unit}  {line.note}")


def measure(settings: Settings, options: argparse.Namespace) -> list[Line]:
    """Return the rows of the table."""
    url = settings.redis_url
    with Ledger.connect(settings) as ledger:
        ours = submit_rate(ledger, options.rows)
        ledger.batches.cancel("rate")
        theirs = delay_rate(url, options.messages)
        lines = [
            Line(
                what=f"enqueue, {options.rows:,} rows / {options.messages:,} delay()",
                reelmill=ours,
                celery=theirs,
                unit="/s",
            )
        ]
        with worker(settings):
            wait(lambda: any(view.state is WorkerState.READY for view in ledger.workers.all()), "a ready worker")
            idle = idle_latencies(ledger, settings, options.clips // 2)
            gaps = own_gaps(ledger, settings, options.clips)
    with plain_worker(url, settings.state_dir):
        plain_times(url, 1, 0.0, one_by_one=True)  # until it is up
        plain_idle = plain_times(url, options.clips // 2, 0.0, one_by_one=True)
        plain = plain_times(url, options.clips, options.seconds, one_by_one=False)
    plain_latencies = [(began - sent) * 1000 for sent, began, _ in plain_idle]
    plain_gaps = [(later[1] - earlier[2]) * 1000 for earlier, later in pairwise(plain)]
    return [
        *lines,
        *_rows("submit or delay() to start, worker idle", idle, plain_latencies, "ledger's clock: whole ms"),
        *_rows(f"end to next start, {options.seconds:g} s renders", gaps, plain_gaps, "claim, mux and upload beside"),
    ]


def submit_rate(ledger: Ledger, rows: int) -> float:
    """Return rows a second of one `Batches.submit`, rows checked beforehand as from a prompt file."""
    jobs = [
        RenderJob(batch="rate", row=f"{row:06d}", spec=RenderSpec(prompt=f"a fox crosses river {row}", profile="tiny"))
        for row in range(rows)
    ]
    started = time.perf_counter()
    added = ledger.batches.submit(Batch(name="rate"), jobs).added
    seconds = time.perf_counter() - started
    if added != rows:
        raise SystemExit(f"{added} of {rows} rows were added")
    return rows / seconds


def delay_rate(url: str, messages: int) -> float:
    """Return messages a second of plain Celery's `delay()` with a payload like ours; no worker consumes them."""
    app = _plain_app(url)
    task = app.tasks["plain.nothing"]
    started = time.perf_counter()
    for number in range(messages):
        task.delay(job_id=f"0c0ffee0-0000-5000-8000-{number:012d}", generation=1, label="a fox crosses river 1")
    seconds = time.perf_counter() - started
    Redis.from_url(url).delete("plain")
    return messages / seconds


def idle_latencies(ledger: Ledger, settings: Settings, count: int) -> list[float]:
    """Return milliseconds from submit to claim, one job at a time on an idle worker."""
    app = broker.make_app(settings)
    found: list[float] = []
    for number in range(count):
        views = _render(ledger, settings, app, f"idle-{number}", 1)
        found += [1000 * ((view.started_at or 0) - (view.submitted_at or 0)) for view in views]
    return found


def own_gaps(ledger: Ledger, settings: Settings, count: int) -> list[float]:
    """Return milliseconds from the end of a render to the claim of the next, while there always is a next."""
    views = sorted(
        _render(ledger, settings, broker.make_app(settings), "gaps", count), key=lambda view: view.started_at or 0
    )
    return [
        1000 * ((later.started_at or 0) - (earlier.started_at or 0) - _rendered_s(earlier))
        for earlier, later in pairwise(views)
    ]


def plain_times(url: str, count: int, seconds: float, *, one_by_one: bool) -> list[tuple[float, float, float]]:
    """Return (sent, began, ended) of plain Celery's tasks, in order."""
    redis, task = Redis.from_url(url), _plain_app(url).tasks["plain.wait"]
    redis.delete("plain:times")
    for number in range(count):
        task.delay(seconds=seconds, sent=time.time())
        if one_by_one:
            wait(lambda least=number + 1: redis.llen("plain:times") >= least, "a plain task")  # type: ignore[misc]
    wait(lambda: redis.llen("plain:times") >= count, "the plain tasks")
    rows = [tuple(map(float, text.split())) for text in redis.lrange("plain:times", 0, -1)]
    return [(row[0], row[1], row[2]) for row in rows]


@contextmanager
def embedded(seconds: float) -> Iterator[Settings]:
    """Run an embedded server for the length of a block; yield settings of a farm on it whose renders take so long."""
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer.start(Path(folder) / "valkey")
        state = Path(folder) / "state"
        state.mkdir()
        try:
            yield Settings(
                redis_url=server.url,
                store_url=f"file://{folder}/store",
                state_dir=state,
                profile="tiny",
                renderer=f"fixed:{seconds}",
                log_format="json",
            )
        finally:
            server.stop()


def signing(settings: Settings, folder: Path) -> Settings:
    """Return settings of a farm that signs each clip, with a key and a certificate made for it in a folder."""
    from reelmill_common.provenance.authority import issue  # noqa: PLC0415 - only here is the extra needed

    issued, certificate, key = issue("benchmark"), folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    return replace(settings, provenance="require", provenance_certificate=str(certificate), provenance_key=str(key))


@contextmanager
def worker(settings: Settings, *, name: str = "", devices: str = "cpu") -> Iterator[subprocess.Popen[bytes]]:
    """Run `reelmill worker` for the length of a block; `name` begins its name, where there are several."""
    command = [sys.executable, "-m", "reelmill_worker", "worker", "--devices", devices, "--name", name]
    with _process(command, os.environ | settings.to_env(), settings.state_dir / f"worker{name}.log") as process:
        yield process


@contextmanager
def plain_worker(url: str, folder: Path) -> Iterator[None]:
    """Run plain Celery's worker for the length of a block."""
    command = [sys.executable, "-m", "celery", "-A", "plain_celery", "worker", "-P", "prefork", "-c", "1"]
    command += ["-O", "fair", "-E", "--without-gossip", "--without-mingle", "-l", "WARNING"]
    env = os.environ | {"PLAIN_REDIS_URL": url, "PYTHONPATH": str(HERE), "PYTHONSAFEPATH": ""}
    with _process(command, env, folder / "plain.log"):
        yield


@contextmanager
def _process(command: Sequence[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as handle:
        process = subprocess.Popen(command, env=env, stdout=handle, stderr=handle, stdin=subprocess.DEVNULL)
    try:
        yield process
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-3000:])
        raise
    finally:
        process.terminate()
        process.wait(60)


def _render(ledger: Ledger, settings: Settings, app: object, batch: str, count: int) -> list[JobView]:
    specs = [RenderSpec(prompt="a fox", seed=seed, frames=5, profile="tiny") for seed in range(count)]
    jobs = [RenderJob(batch=batch, row=f"{row:04d}", spec=spec) for row, spec in enumerate(specs)]
    ledger.batches.submit(Batch(name=batch), jobs)
    broker.pump(ledger, app, settings, "tiny")  # type: ignore[arg-type]
    wait(lambda: not ledger.batches.get(batch).remaining, f"batch {batch}")
    return ledger.jobs.page(batch)


def _rendered_s(view: JobView) -> float:
    return view.result.seconds["denoise"] if view.result else 0.0


def _rows(what: str, ours: Sequence[float], theirs: Sequence[float], note: str) -> list[Line]:
    return [
        Line(
            what=f"{what}, {name}",
            reelmill=statistics.quantiles(ours, n=100)[percent - 1],
            celery=statistics.quantiles(theirs, n=100)[percent - 1],
            unit="ms",
            note=note,
        )
        for name, percent in (("median", 50), ("p95", 95))
    ]


def _plain_app(url: str) -> Any:
    os.environ["PLAIN_REDIS_URL"] = url
    from plain_celery import app  # noqa: PLC0415 - reads the variable at import; queue.py sets the path

    return app


def wait(condition: Callable[[], object], what: str, *, limit_s: float = START_S, every_s: float = 0.02) -> None:
    """Wait until something holds, and end the program if that takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {limit_s:.0f} s")
        time.sleep(every_s)


def commit() -> str:
    """Return the short name of the commit that is measured."""
    command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
