"""How long the live views take on a large farm: 1,000 workers that beat, 100,000 jobs in 1,000 batches.

    python benchmarks/views.py

Starts a Valkey of its own and fills it through the ledger; no worker runs. Times are those of the call, median and
worst of 20, then of the whole command in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger, WorkerInfo
from reelmill_common.settings import Settings
from reelmill_producer.cli.top import page
from reelmill_producer.embedded.valkey import ValkeyServer

REPEATS = 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workers", type=int, default=1000)
    options.add_argument("--batches", type=int, default=1000)
    options.add_argument("--jobs", type=int, default=100, help="jobs a batch")
    choices = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = ValkeyServer.start(Path(folder))
        stack.callback(server.stop)
        settings = Settings(redis_url=server.url, state_dir=Path(folder))
        with Ledger.connect(settings) as ledger:
            fill(ledger, choices)
            timings("snapshot", ledger.overview.snapshot)
            timings("page of `top`", lambda: draw(ledger))
            timings("batches and workers of `status`", lambda: (ledger.batches.all(), ledger.workers.all()))
        for command in (["top", "--once"], ["top", "--json"], ["status"], ["status", "--json"]):
            whole(command, settings)


def fill(ledger: Ledger, choices: argparse.Namespace) -> None:
    names = [f"gpu{index}@host" for index in range(choices.workers)]
    for name in names:
        ledger.workers.register(
            name, "tiny", WorkerInfo(host="host", plan={"gpu": "NVIDIA GeForce RTX 4090", "linears": "fp8"})
        )
        ledger.workers.ready(name, WorkerInfo(host="host", plan={"gpu": "NVIDIA GeForce RTX 4090", "linears": "fp8"}))
    for index in range(choices.batches):
        batch = Batch(name=f"batch-{index}")
        specs = (RenderSpec(prompt="a fox", seed=seed, profile="tiny") for seed in range(choices.jobs))
        ledger.batches.submit(batch, (RenderJob(batch=batch.name, row=f"r{spec.seed}", spec=spec) for spec in specs))
    free = iter(names)
    for dispatch in ledger.dispatch.pump("tiny", depth=1):
        claimed = ledger.attempts.claim(dispatch.job_id, dispatch.generation, next(free), lease_s=600)
        assert isinstance(claimed, Claimed), claimed


def draw(ledger: Ledger) -> None:
    Console(file=io.StringIO(), width=160).print(page(ledger.overview.snapshot(), lines=60))


def timings(what: str, run: Callable[[], object]) -> None:
    took = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        took.append((time.perf_counter() - started) * 1000)
    print(f"{what:<34} median {statistics.median(took):6.1f} ms   worst {max(took):6.1f} ms", flush=True)


def whole(command: list[str], settings: Settings) -> None:
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "reelmill_producer", *command],
            env=os.environ | settings.to_env(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        took.append((time.perf_counter() - started) * 1000)
    print(
        f"reelmill {' '.join(command):<25} median {statistics.median(took):6.0f} ms with Python's start",
        flush=True,
    )


if __name__ == "__main__":
    main()
