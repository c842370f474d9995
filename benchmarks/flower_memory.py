"""Measure what finished tasks cost Flower in memory: a real Flower, fed by Celery's own events of a real night's shape.

    python -m benchmarks.flower_memory --tasks 20000

Starts a Valkey and `reelmill flower`, submits jobs to the ledger, dispatches them with labels of the longest kind, and
publishes for each the events that a worker sends: sent, received, started, succeeded. Prints JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from reelmill_common.broker import make_app
from reelmill_common.contract import TASK_RENDER, queue_name
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer

LOGIN = "bench:only-on-loopback"
LANE = "tiny"
WORKER = "gpu0@bench"
PROMPT = "a red fox walks through deep snow at dawn, the camera follows from behind, number {number}, " + "mist " * 100
WAIT_S = 900.0
PIECE = 1000


def main() -> int:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description="What finished tasks cost Flower in memory.")
    parser.add_argument("--tasks", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelmill-bench-") as folder:
        server = ValkeyServer.start(Path(folder) / "valkey")
        try:
            settings = Settings(redis_url=server.url, farm="bench", state_dir=Path(folder) / "state", profile=LANE)
            print(json.dumps(measure(settings, asked.tasks)))
        finally:
            server.stop()
    return 0


def measure(settings: Settings, tasks: int) -> dict[str, Any]:
    """Return Flower's memory before and after so many tasks, in MB, and what one of its pages takes then."""
    port = _free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "reelmill_producer", "flower", "--port", str(port)],
        env=env | settings.to_env() | {"FLOWER_BASIC_AUTH": LOGIN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: _shown(port) is not None, "Flower's first answer")
        empty = rss_mb(process.pid)
        began = time.monotonic()
        with Ledger.connect(settings) as ledger:
            for start in range(0, tasks, PIECE):
                feed(settings, ledger, range(start, min(start + PIECE, tasks)))
                _wait(lambda start=start: (_shown(port) or 0) >= min(start + PIECE, tasks), "the events")
        full = rss_mb(process.pid)
        asked = time.monotonic()
        _shown(port)
        page_s = time.monotonic() - asked
    finally:
        process.terminate()
        process.wait(60)
    return {
        "tasks": tasks,
        "empty_mb": empty,
        "full_mb": full,
        "above_empty_mb": full - empty,
        "page_ms": round(page_s * 1000),
        "fed_in_s": round(time.monotonic() - began),
    }


def feed(settings: Settings, ledger: Ledger, numbers: range) -> None:
    """Submit jobs, let the ledger make their messages, and publish a worker's events for each."""
    batch = f"the-longest-name-that-a-batch-of-a-night-may-have-{numbers.start:014d}"
    specs = [RenderSpec(prompt=PROMPT.format(number=number), seed=number, profile=LANE) for number in numbers]
    ledger.batches.submit(Batch(name=batch), [RenderJob(batch=batch, row=str(spec.seed), spec=spec) for spec in specs])
    ledger.workers.register(WORKER, LANE, WorkerInfo(renderer="bench"))
    ledger.workers.ready(WORKER, WorkerInfo(renderer="bench"))
    app = make_app(settings)
    with app.connection_for_write() as connection, app.events.Dispatcher(connection, hostname=WORKER) as dispatcher:
        dispatcher.send("worker-online", freq=5, sw_ident="py-celery", sw_ver="5", sw_sys="Linux")
        for item in ledger.dispatch.pump(LANE, depth=numbers.stop):
            task_id = f"{item.job_id}.{item.generation}"
            known = {"name": TASK_RENDER, "args": "()", "kwargs": item.label, "retries": 0, "root_id": task_id}
            queue = queue_name(settings.farm, LANE)
            dispatcher.send("task-sent", uuid=task_id, queue=queue, routing_key=queue, exchange="", **known)
            dispatcher.send("task-received", uuid=task_id, eta=None, expires=None, parent_id=None, **known)
            dispatcher.send("task-started", uuid=task_id)
            result = repr({"outcome": "rendered", "attempt": 1, "seconds": 3.412})
            dispatcher.send("task-succeeded", uuid=task_id, result=result, runtime=3.4)


def rss_mb(pid: int) -> int:
    """Return the memory that a process holds, from Linux' own figure."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise RuntimeError(f"process {pid} has ended")


def _shown(port: int) -> int | None:
    """Return how many finished tasks Flower's table counts; None while it does not answer."""
    query = "draw=1&start=0&length=15&order[0][column]=0&columns[0][data]=received&search[value]=state:SUCCESS"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/tasks/datatable?{query}")
    request.add_header("Authorization", "Basic " + base64.b64encode(LOGIN.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(json.load(answer)["recordsFiltered"])
    except OSError:
        return None


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come within {WAIT_S:.0f} s")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
