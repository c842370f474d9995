"""Measures the console beside its own cheapest answer: status of a batch, followers of its events, an upload, memory.

    python benchmarks/console.py

Real parts throughout: an embedded Valkey, `reelmill serve` in a process of its own, plain HTTP from here. Each number
stands beside one of the same run. Exit status 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from dispatch import commit, embedded

from reelmill_common.access import Role
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings

LEAST_RATIO = 0.3
MOST_LATE_S = 1.0
MOST_CONNECTIONS = 2
MOST_UPLOAD = 1.3
MOST_GROWTH_MB = 64.0


def main() -> None:
    """Run all parts and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="requests of each kind")
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    print(
        f"python {platform.python_version()}  cores {os.cpu_count()}  fastapi {version('fastapi')}  "
        f"uvicorn {version('uvicorn')}  commit {commit()}"
    )
    kept: list[bool] = []
    with embedded(0.05) as settings, TemporaryDirectory() as folder, served(settings, "--open") as (url, pid):
        with served(settings) as (guarded, _):  # every request asks the ledger for its token
            kept.append(status(guarded, settings, options.requests))
        kept.append(asyncio.run(followers(url, settings, options.followers, options.events)))
        kept.append(upload(url, pid, settings, options.rows, Path(folder)))
    sys.exit(0 if all(kept) else 1)


@contextmanager
def served(settings: Settings, *options: str) -> Generator[tuple[str, int]]:
    """Run `reelmill serve`; give its URL and its process id."""
    env = {**os.environ, **replace(settings, console_rate=0).to_env()}
    command = [sys.executable, "-m", "reelmill_producer", "serve", *options, "--port", "0"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait(30)


def status(url: str, settings: Settings, requests: int) -> bool:
    """Compare the status of a batch with `/healthz`, with a token, one connection each, in turns."""
    with Ledger.connect(settings) as ledger:
        submit(ledger, "night", 1)
        token = ledger.tokens.make("bench", Role.VIEWER)
    asked = {"/healthz": "/healthz", "status of a batch": "/api/v1/batches/night"}
    rates: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(5):
        for name, path in asked.items():
            rates[name].append(rate(url, path, requests // 5, token))
    found = {name: median(values) for name, values in rates.items()}
    ratio = found["status of a batch"] / found["/healthz"]
    for name, value in found.items():
        print(f"{name}: {value:,.0f} requests/s")
    return promise(f"status of a batch / healthz = {ratio:.2f}", ratio >= LEAST_RATIO, f">= {LEAST_RATIO}")


def rate(url: str, path: str, requests: int, token: str) -> float:
    """Return requests a second on one connection that is kept."""
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=30)
    started = time.perf_counter()
    for _ in range(requests):
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    took_s = time.perf_counter() - started
    connection.close()
    return requests / took_s


async def followers(url: str, settings: Settings, count: int, events: int) -> bool:
    """Let many follow one batch; measure from a submit's answer to the arrival at the last of them."""
    where = urlsplit(url)
    arrived: list[list[float]] = [[] for _ in range(count)]
    ready = asyncio.Semaphore(0)

    async def follow(mine: list[float]) -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 20)
        writer.write(b"GET /api/v1/batches/night/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while line := await reader.readline():
            if line.startswith(b"retry:"):
                ready.release()
            elif line.startswith(b"event: batch.submitted"):
                mine.append(time.perf_counter())

    with Ledger.connect(settings) as ledger:
        tasks = [asyncio.create_task(follow(mine)) for mine in arrived]
        for _ in tasks:
            await ready.acquire()
        sent: list[float] = []
        for number in range(events):
            await asyncio.to_thread(submit, ledger, "night", number + 2)
            sent.append(time.perf_counter())
            while min(map(len, arrived)) <= number:
                await asyncio.sleep(0.01)
        others = connections(ledger) - 1
        for task in tasks:
            task.cancel()
    late = [max(mine[number] for mine in arrived) - at for number, at in enumerate(sent)]
    print(f"{count:,} followers, {events} events: last after {median(late):.3f} s (median), {max(late):.3f} s (most)")
    in_time = promise(
        f"an event reaches the last in {max(late):.3f} s", max(late) <= MOST_LATE_S, f"<= {MOST_LATE_S} s"
    )
    held = f"{others} connections of the server to Redis with {count:,} followers"
    few = promise(held, others <= MOST_CONNECTIONS, f"<= {MOST_CONNECTIONS}")
    return in_time and few


def connections(ledger: Ledger) -> int:
    """Return how many clients Redis has; one of them is our own."""
    return len(ledger._server.read([("CLIENT", "LIST")])[0].splitlines())  # noqa: SLF001 - there is no public way to it


def submit(ledger: Ledger, batch: str, number: int) -> None:
    """Submit one job."""
    spec = RenderSpec(prompt=f"a fox crosses river number {number}", seed=number, profile="tiny")
    ledger.batches.submit(Batch(name=batch), [RenderJob(batch=batch, row=f"r{number}", spec=spec)])


def upload(url: str, pid: int, settings: Settings, rows: int, folder: Path) -> bool:
    """Upload a file, and submit the same with the command line; in turns, twice."""
    file = folder / "prompts.csv"
    file.write_text("id,prompt,seed\n" + "".join(f"r{n},a fox crosses river number {n},{n}\n" for n in range(rows)))
    env = {**os.environ, **settings.to_env()}
    by_http: list[float] = []
    by_command: list[float] = []
    before = memory_mb(pid)
    for turn in range(2):
        by_command.append(
            timed([sys.executable, "-m", "reelmill_producer", "submit", str(file), "--batch", f"c{turn}"], env)
        )
        by_http.append(put(url, f"h{turn}", file))
    after, most = memory_mb(pid), memory_mb(pid, "VmHWM")
    ratio = min(by_http) / min(by_command)
    print(f"{rows:,} rows: upload {min(by_http):.1f} s, `reelmill submit` {min(by_command):.1f} s")
    print(f"memory of the server: {before:.0f} MB before, {after:.0f} MB after, {most:.0f} MB at most")
    return promise(f"upload / submit = {ratio:.2f}", ratio <= MOST_UPLOAD, f"<= {MOST_UPLOAD}") & promise(
        f"memory grew by {most - before:.0f} MB at most", most - before <= MOST_GROWTH_MB, f"<= {MOST_GROWTH_MB:g} MB"
    )


def timed(command: Sequence[str], env: dict[str, str]) -> float:
    """Return the seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - started


def put(url: str, batch: str, file: Path) -> float:
    """Upload a file; return the seconds until the answer."""
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=600)
    started = time.perf_counter()
    with file.open("rb") as stream:
        headers = {"Content-Type": "text/csv", "Content-Length": str(file.stat().st_size)}
        connection.request("PUT", f"/api/v1/batches/{batch}", stream, headers)
        answer = connection.getresponse()
        body = answer.read()
    took_s = time.perf_counter() - started
    assert answer.status == 200, body
    assert json.loads(body)["added"]
    return took_s


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process by a line of its status."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


def promise(text: str, is_kept: bool, wanted: str) -> bool:  # noqa: FBT001 - a value to show
    """Print a promise and whether it is kept; return that."""
    print(f"{'ok    ' if is_kept else 'BROKEN'} {text} (wanted {wanted})")
    return is_kept


if __name__ == "__main__":
    main()
