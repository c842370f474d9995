"""`python benchmarks/scale.py`: what a farm of so many GPUs costs its Redis, as the table of docs/scale.md has it.

Nothing is rendered (`scale_farm.py` says what is real). The server's own CPU time is measured, not the wall, so other
programs on the machine disturb little; the time of an idle server without clients' commands is taken off. A run
counts while `lag_s`, by which this process is late, stays below a second: else make it slower (`--slow`).

Without options it measures the rows of the table, each in about a minute on two quiet cores, and prints a line of JSON
for each; `--out FILE` keeps them, and `scale_page.py FILE` makes table and plot of it. With `--workers` it measures
such farms; with `--functions` also the server's time of each function from its slow log; with `--controls` the longest
call while people pause, prioritize and look at everything; with `--watchers` what following a batch costs, and how soon
that ends.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scale_farm import PROFILE, Scene, SimulatedFarm, make_jobs, submit
from scale_watchers import watched

from reelmill_common.jobs import Batch
from reelmill_common.ledger import PolicyChange
from reelmill_common.ledger.library import library
from reelmill_producer.embedded.valkey import ValkeyServer

SETTLE_S = 2.0
SENT_COMMANDS = ("fcall", "brpop", "publish", "exec", "evalsha", "llen", "lrange", "hscan", "lpush")
"""Commands that clients send; what the server spends beside them is the network, and waking who waits."""
LONG_US = 1000
"""Calls that `--controls` tells of take at least so long."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server and the farm have counted so far; times in seconds."""

    at: float
    cpu_s: float
    info: Mapping[str, Any]
    calls: Counter[str]


TABLE: Sequence[Mapping[str, float]] = (
    {"workers": 300, "clip": 1.17},
    {"workers": 1000, "clip": 1.17},
    {"workers": 3000, "clip": 1.17},
    {"workers": 1000, "clip": 3.4},
    {"workers": 1000, "clip": 1.17, "class_share": 0.1},
)
"""Rows of the table in docs/scale.md."""
A_SECOND = 75
"""Workers at 1.17 s a clip that this process can play in real time; more of them act in slow motion."""
IDLE_A_SECOND = 400
"""The same of idle workers."""


def main() -> None:
    """Measure each farm, and print a line of JSON for each."""
    options = arguments()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(60_000, limit), limit))
    if options.watchers:
        with own_server() as server:
            print(json.dumps(watched(server, watchers=options.watchers, seconds=options.seconds)), flush=True)
        return
    rows = [{"workers": workers} for workers in options.workers] or TABLE
    found = []
    for row in rows:
        measured = measure(argparse.Namespace(**{**vars(options), **row}), int(row["workers"]))
        print(json.dumps(measured), flush=True)
        found.append(measured)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[], help="numbers of workers; none: the table")
    parser.add_argument("--jobs", type=int, default=0, help="0: enough for the run")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--owners", type=int, default=20)
    parser.add_argument("--clip", type=float, default=1.17, help="seconds of a render")
    parser.add_argument("--class-share", type=float, default=0.0, help="share of the batches that ask for a class")
    parser.add_argument("--lanes", type=int, default=4, help="lanes of a worker: profile, card, architecture, bits")
    parser.add_argument("--seconds", type=float, default=20, help="real seconds of the busy measurement")
    parser.add_argument("--idle-seconds", type=float, default=12, help="real seconds of the idle one")
    parser.add_argument("--functions", type=float, default=0, help="real seconds with the slow log on; 0: none")
    parser.add_argument("--flower", action="store_true", help="workers send their events, as while Flower runs")
    parser.add_argument("--controls", action="store_true", help="pause, prioritize and look at everything")
    parser.add_argument(
        "--slow", type=float, default=0, help=f"slow motion; 0: so that {A_SECOND} workers a second act"
    )
    parser.add_argument("--watchers", type=int, default=0, help="follow a batch in so many places, and nothing else")
    parser.add_argument("--out", type=Path, help="file for the figures")
    return parser.parse_args()


@contextmanager
def own_server() -> Iterator[ValkeyServer]:
    """Start a server for one measurement; nothing else on the machine takes its turns, where that is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer.start(Path(folder))
        with suppress(PermissionError):  # else other programs' turns count as time of the server's calls
            os.sched_setscheduler(server.pid, os.SCHED_RR, os.sched_param(5))
        try:
            yield server
        finally:
            server.stop()


def measure(options: argparse.Namespace, workers: int) -> dict[str, Any]:
    """Run one farm, first idle and then at work; return its figures."""
    found: dict[str, Any] = {"workers": workers, "clip_s": options.clip, "class_share": options.class_share}
    with own_server() as server:
        farm, base = enlisted(scene(options, workers, slow=max(1.0, workers / IDLE_A_SECOND)), server)
        found["idle"] = observed(farm, options.idle_seconds, base)
    with own_server() as server:
        slow = options.slow or max(1.0, workers / A_SECOND * 1.17 / options.clip)
        farm, base = enlisted(scene(options, workers, slow=slow), server)
        lasts_s = 1.5 * options.clip * slow + SETTLE_S + options.seconds + options.functions + 60 * options.controls
        jobs = options.jobs or round(4 * workers + 1.2 * lasts_s * workers / (options.clip * slow))
        found["submit"] = submit(
            farm, jobs=jobs, batches=options.batches, owners=options.owners, class_share=options.class_share
        )
        farm.awaken()
        farm.run(1.5 * options.clip * slow + SETTLE_S)  # fills the line, and parts the workers' phases
        found["busy"] = busy = observed(farm, options.seconds, base)
        pace = busy["clips_per_worker_s"]
        if pace:  # how much of the time the simulated GPUs were busy depends on this process: count by clip
            idle_us = found["idle"]["cpu_us"]
            found["cpu_us_per_clip"] = round((busy["cpu_us"] - idle_us) / pace, 1)
            found["cpu_us_at_full_pace"] = round(idle_us + found["cpu_us_per_clip"] / options.clip, 1)
        if options.functions:
            found["functions_us"] = functions(farm, lambda: farm.run(options.functions), least_us=12)
        if options.controls:
            found["long_calls_us"] = controls(farm)
        found["refused"] = dict(farm.refused)
    return found


def scene(options: argparse.Namespace, workers: int, *, slow: float) -> Scene:
    """Return the farm to simulate."""
    return Scene(workers=workers, clip_s=options.clip, slow=slow, lanes=options.lanes, flower=options.flower)


def enlisted(wanted: Scene, server: ValkeyServer) -> tuple[SimulatedFarm, float]:
    """Return a farm whose workers have come in, and the share of a core that the server took before."""
    farm = SimulatedFarm(wanted, server.url)
    farm.raw.config_set("auto-aof-rewrite-percentage", 0)
    base = idle_server(farm)
    farm.enlist()
    farm.run(SETTLE_S)
    return farm, base


def idle_server(farm: SimulatedFarm) -> float:
    """Return the share of a core that the server takes when nobody asks it anything."""
    before = reading(farm)
    time.sleep(SETTLE_S)
    after = reading(farm)
    return (after.cpu_s - before.cpu_s) / (after.at - before.at)


def reading(farm: SimulatedFarm) -> Reading:
    """Read what was counted so far."""
    info: dict[str, Any] = farm.raw.info("everything")
    names = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
    return Reading(time.monotonic(), sum(float(info[name]) for name in names), info, Counter(farm.calls))


def observed(farm: SimulatedFarm, seconds: float, base: float) -> dict[str, Any]:
    """Let the farm run for so many real seconds; return rates by worker-second, the CPU without `base`."""
    farm.lag_s, before = 0.0, reading(farm)
    farm.run(seconds)
    after = reading(farm)
    calls = after.calls - before.calls
    real_s = after.at - before.at
    worker_s = real_s / farm.scene.slow * len(farm.workers)

    def rate(name: str) -> float:
        return round((after.info.get(name, 0) - before.info.get(name, 0)) / worker_s, 2)

    def counted(command: str, what: str) -> float:
        first, last = (one.info.get(f"cmdstat_{command}", {}).get(what, 0) for one in (before, after))
        return float(last - first)

    def runs(command: str) -> float:
        return round(counted(command, "calls") / worker_s, 2)

    def spent(command: str) -> float:
        return round(counted(command, "usec") / worker_s, 1)

    return {
        "cpu_us": round((after.cpu_s - before.cpu_s - base * real_s) * 1e6 / worker_s, 1),
        "clips_per_worker_s": round(calls["clips"] / worker_s, 4),
        "commands_us": {name: spent(name) for name in SENT_COMMANDS},
        "commands": rate("total_commands_processed"),
        "fcalls": runs("fcall"),
        "events": runs("xadd"),
        "bytes_in": rate("total_net_input_bytes"),
        "bytes_out": rate("total_net_output_bytes"),
        "aof_bytes": rate("aof_current_size"),
        "connections": after.info["connected_clients"],
        "lag_s": round(farm.lag_s / farm.scene.slow, 2),
        "calls": {name: round(count / worker_s, 3) for name, count in sorted(calls.items())},
    }


def functions(farm: SimulatedFarm, run: Callable[[], None], *, least_us: int) -> dict[str, Any]:
    """Return the server's time of each function while something runs, in µs: its slow log has them."""
    farm.raw.config_set("slowlog-max-len", 400_000)
    farm.raw.config_set("slowlog-log-slower-than", least_us)
    farm.raw.slowlog_reset()
    run()
    farm.raw.config_set("slowlog-log-slower-than", -1)
    times: dict[str, list[int]] = defaultdict(list)
    for entry in farm.raw.slowlog_get(400_000):
        command: bytes = entry["command"]
        name = (
            command.split(b" ", 2)[1].decode() if command.startswith(b"FCALL") else command.split(b" ", 1)[0].decode()
        )
        times[name.removeprefix(library().name + "_")].append(int(entry["duration"]))
    return {name: quantiles(sorted(some)) for name, some in sorted(times.items()) if len(some) > 0}


def quantiles(ranked: list[int]) -> dict[str, float]:
    """Return number, mean and quantiles of some times."""
    mean = round(sum(ranked) / len(ranked), 1)
    p99 = ranked[len(ranked) * 99 // 100]
    return {"n": len(ranked), "mean": mean, "p50": ranked[len(ranked) // 2], "p99": p99, "max": ranked[-1]}


def controls(farm: SimulatedFarm) -> dict[str, Any]:
    """Do what people do to a farm in full swing, and return the calls that took a millisecond or more."""
    big = Batch(name="big", priority=7)

    def run() -> None:
        for name, act in actions(farm):
            farm.run(3 * farm.scene.clip_s * farm.scene.slow if name == "fill" else 1.0)
            print(f"  {name}", file=sys.stderr, flush=True)
            act()

    farm.ledger.batches.submit(big, make_jobs(big.name, 10 * len(farm.workers)))
    farm.awaken()
    return functions(farm, run, least_us=LONG_US)


def actions(farm: SimulatedFarm) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what people do, by name."""
    ledger = farm.ledger
    yield "fill", lambda: None
    yield "pause", lambda: ledger.batches.pause("big")
    yield "resume", lambda: ledger.batches.resume("big")
    yield "fill", lambda: None
    yield "prioritize", lambda: ledger.batches.prioritize("big", 8)
    yield "fill", lambda: None
    yield "policy", lambda: ledger.batches.set_policy(ledger.batches.get("big"), PolicyChange(weight=2))
    yield "fill", lambda: None
    yield "window", lambda: ledger.timetable.set_window("big", "00:00-00:01 UTC")
    yield "snapshot", ledger.overview.snapshot
    yield "stats", ledger.overview.stats
    yield "backlog", ledger.overview.backlog
    yield "workers", ledger.workers.all
    yield "gaps", ledger.dispatch.gaps
    yield "batches", ledger.batches.all
    yield "pump", lambda: ledger.dispatch.pump(PROFILE)
    yield "cancel", lambda: ledger.batches.cancel("big")


if __name__ == "__main__":
    main()
