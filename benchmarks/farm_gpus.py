"""One GPU's farm and then N GPUs' on this host, in one call: how much N give, and what dies without harm to the others.

Part of `farm.py --gpus N`. Both sides have one supervisor, one Valkey and one store, and the same clips a GPU; the
second starts with the compiled code that the first has left. With `--gpus 1` it is the first again: a warm start.
`--signed` adds a third side, which is the second with signed clips. Without CUDA (`--profile tiny`) each GPU is a
worker on the CPU: that shows that the program works, and nothing about speed.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import farm_host
from dispatch import embedded, signing, wait, worker
from farm_run import READY_S, Shape, check, spec_of
from measured import GpuWatch

from reelmill_common import broker
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import JobView, Ledger, WorkerState
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_worker.ipc import counters

WARM_CLIPS, CLIP_S, POLL_S = 3, 20.0, 0.1
DRAIN_CLIPS, DRAIN_S = 8, 120.0
GOAL, MOST_IDLE, MANY = 0.985, 0.03, 8
"""Wanted of N GPUs: clips an hour by N times those of one, and idle share of each; and the size of a large host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What a number of GPUs made.

    Attributes:
        ready_s: Seconds from the start of the command until each worker took jobs.
        own_gb: Most memory that all processes held of their own while they loaded; `file_gb` of files that they map,
            counted for each; `most_gb` of one process.
        wall_s: From the first claim to the last stored clip.
        steady_s: From a worker's first stored clip to its last, by the clips in between; mean of the workers.
        idle: By worker: share of its time from its first render to its last render's end without one.
        gaps: By worker: seconds between renders by cause, as it counted them itself.
        nvml_idle: By GPU: share of the wall in which NVML saw no kernel.
        cpu: Core-seconds a clip by role and kind of thread.
    """

    gpus: int
    clips: int
    ready_s: Sequence[float]
    own_gb: float
    file_gb: float
    most_gb: float
    wall_s: float
    steady_s: float
    gpu_s: float
    gpu_median_s: float
    idle: Mapping[str, float]
    gaps: Mapping[str, Mapping[str, float]]
    nvml_idle: Sequence[float | None]
    cpu: Mapping[str, float]
    stages: Mapping[str, float]
    clips_by_worker: Mapping[str, int]
    clip_bytes: int
    tried_again: int
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def an_hour(self) -> float:
        """Clips an hour."""
        return 3600 * self.clips / self.wall_s

    @property
    def cores(self) -> float:
        """Core-seconds a clip."""
        return sum(self.cpu.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A farm on this host while it runs."""

    settings: Settings
    ledger: Ledger
    commands: Sequence[subprocess.Popen[bytes]]
    ready_s: Sequence[float]
    memory: farm_host.MemoryWatch

    def submit(self, batch: str, shape: Shape, clips: int) -> None:
        """Submit a batch and fill the broker."""
        jobs = [RenderJob(batch=batch, row=f"{take:04d}", spec=spec_of(shape, take)) for take in range(clips)]
        self.ledger.batches.submit(Batch(name=batch), jobs)
        broker.pump(self.ledger, broker.make_app(self.settings), self.settings, self.settings.profile)

    def finish(self, batch: str, clips: int) -> list[JobView]:
        """Wait for the end of a batch and return its jobs."""
        limit = READY_S + clips * CLIP_S
        wait(lambda: not self.ledger.batches.get(batch).remaining, f"batch {batch}", limit_s=limit, every_s=POLL_S)
        return list(self.ledger.jobs.every(batch))

    def counts(self) -> dict[str, counters.CounterValues]:
        """Return what the workers have counted, by worker; at most half a second old."""
        paths = sorted((self.settings.state_dir / "run").glob("*.figures"))
        return {path.name.split(".")[0]: counters.read(path) for path in paths}


def compare(run: Path, model: Path, shape: Shape, options: Any, keep: Callable[[str, Mapping[str, Any]], None]) -> int:
    """Measure one GPU, then all, and all with signed clips if asked; report each as it ends. Return the exit status.

    Args:
        run: Folder of state and stores.
        model: Model folder.
        shape: What all clips are.
        options: `gpus`, `clips` (for each GPU), `kill` (clips for each GPU while processes are killed; 0: none), and
            `signed` (once more, with signed clips).
        keep: Takes the name of a part and its figures.
    """
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": str(run / "inductor"), "TRITON_CACHE_DIR": str(run / "triton")}
    sides: list[Side] = []
    for name, gpus in (("one", 1), ("all", options.gpus), *([("signed", options.gpus)] if options.signed else [])):
        with running(run, model, shape, gpus, store=f"file://{run}/store-{name}", signed=name == "signed") as host:
            host.submit("warm-up", shape, WARM_CLIPS * gpus)
            host.finish("warm-up", WARM_CLIPS * gpus)
            sides.append(measure(host, shape, options.clips * gpus, gpus))
            keep(name, asdict(sides[-1]))
            if name == "all" and options.kill:
                keep("killed", kill(host, shape, options.kill * gpus, sides[-1]))
            keep(f"drain of {name}", drain(host, shape, DRAIN_CLIPS * gpus))
    _table(sides)
    return 0 if not shape.full or _kept(*sides[:2]) else 1


@contextmanager
def running(run: Path, model: Path, shape: Shape, gpus: int, *, store: str, signed: bool = False) -> Iterator[Host]:
    """Run server and workers for the length of a block, which begins when all workers are ready to render."""
    with embedded(0) as own, ExitStack() as stack:
        settings = replace(
            own,
            renderer="model",
            profile=spec_of(shape, 0).profile,
            model_dir=str(model),
            state_dir=run / "state",
            store_url=store,
        )
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        if signed:
            settings = signing(settings, settings.state_dir)
        for path in (settings.state_dir / "run").glob("*.figures"):
            path.unlink()
        memory, started, ready = farm_host.MemoryWatch(), time.monotonic(), dict[str, float]()
        ledger = stack.enter_context(Ledger.connect(settings))

        def all_ready() -> bool:
            for view in ledger.workers.all():
                if view.state is WorkerState.QUARANTINED:
                    raise SystemExit(f"{view.name} is quarantined: {view.reason}")
                if view.state is WorkerState.READY:
                    ready.setdefault(view.name, round(time.monotonic() - started, 1))
            return len(ready) >= gpus

        with memory.watching():
            names = [""] if shape.full else [f"w{number}" for number in range(gpus)]
            devices = ",".join(map(str, range(gpus))) if shape.full else "cpu"
            commands = [stack.enter_context(worker(settings, name=name, devices=devices)) for name in names]
            wait(all_ready, "all workers", limit_s=READY_S, every_s=POLL_S)
        yield Host(settings=settings, ledger=ledger, commands=commands, ready_s=sorted(ready.values()), memory=memory)


def measure(host: Host, shape: Shape, clips: int, gpus: int) -> Side:
    """Measure a batch."""
    watches = [GpuWatch(number) for number in range(gpus)] if shape.full else []
    with ExitStack() as stack:
        for watch in watches:
            stack.enter_context(watch.watching())
        before = farm_host.processes()
        host.submit("farm", shape, clips)
        wait(lambda: any(view.started_at for view in host.ledger.jobs.page("farm", count=2 * gpus)), "a render")
        time.sleep(counters.WRITE_S + POLL_S)  # the gap before the first render is counted by then
        first = host.counts()
        views = host.finish("farm", clips)
        after = farm_host.processes()
    check(host.settings, views, clips)
    time.sleep(counters.WRITE_S + POLL_S)  # the last counts are written by then
    cpu = {what: round(spent / clips, 4) for what, spent in farm_host.cpu_by_role(before, after).items()}
    return _side(host, views, gpus, cpu=cpu, gaps=_gaps(first, host.counts()), watches=watches)


def _side(
    host: Host,
    views: Sequence[JobView],
    gpus: int,
    *,
    cpu: Mapping[str, float],
    gaps: Mapping[str, Mapping[str, float]],
    watches: Sequence[GpuWatch],
) -> Side:
    by_worker = _by_worker(views)
    results = [view.result for view in views if view.result is not None]
    stored = sorted(view.finished_at or 0.0 for view in views)
    started = min(view.started_at or 0.0 for view in views)
    gpu = [result.gpu_s for result in results]
    return Side(
        gpus=gpus,
        clips=len(views),
        ready_s=host.ready_s,
        own_gb=round(host.memory.own_bytes / 1e9, 3),
        file_gb=round(host.memory.file_bytes / 1e9, 3),
        most_gb=round(host.memory.most_bytes / 1e9, 3),
        wall_s=round(stored[-1] - started, 3),
        steady_s=round(statistics.mean(map(_pace, by_worker.values())), 4),
        gpu_s=round(statistics.mean(gpu), 4),
        gpu_median_s=round(statistics.median(gpu), 4),
        idle={name: _idle(rendered) for name, rendered in by_worker.items()},
        gaps=gaps,
        nvml_idle=[watch.idle(started, stored[-1]) for watch in watches],
        cpu=cpu,
        stages={
            stage: round(statistics.median(result.seconds.get(stage, 0.0) for result in results), 4)
            for stage in results[0].seconds
        },
        clips_by_worker={name: len(rendered) for name, rendered in by_worker.items()},
        clip_bytes=round(statistics.mean(result.size_bytes for result in results)),
        tried_again=sum(view.attempts > 1 for view in views),
    )


def kill(host: Host, shape: Shape, clips: int, whole: Side) -> dict[str, Any]:
    """Kill a rendering child, and, once its worker is back, another worker's Celery parent; look at all others."""
    names = sorted(whole.clips_by_worker)
    host.submit("killed", shape, clips)
    found: dict[str, Any] = {}
    for victim, role in ((names[-1], "child"), (names[0], "parent")):
        _wait_for_clips(host, "killed", len(names))
        found[role] = _kill_one(host, victim, role)
    views = host.finish("killed", clips)
    for role in ("child", "parent"):
        found[role] |= _others(views, found[role], whole)
    return found | _kept_in_store(host, views) | {"tried_again": sum(view.attempts > 1 for view in views)}


def _kill_one(host: Host, victim: str, role: str) -> dict[str, Any]:
    """Kill a worker's child or parent; return when, and after how many seconds it takes jobs again."""
    old, at = _pid(host, victim), time.time()
    parent = next(x.pid for x in farm_host.processes() if (x.worker, x.role) == (victim, "parent"))
    os.kill(old if role == "child" else parent, signal.SIGKILL)
    wait(lambda: _pid(host, victim) not in (0, old), f"{victim} to be back", limit_s=READY_S)
    return {"worker": victim, "at": at, "back_s": round(time.time() - at, 1)}


def _wait_for_clips(host: Host, batch: str, clips: int) -> None:
    """Wait until so many more are stored. Raises `SystemExit` if the batch is too short for what it is to show."""
    least = _done(host, batch) + clips
    wait(lambda: _done(host, batch) >= least or not host.ledger.batches.get(batch).remaining, "clips to be stored")
    if not host.ledger.batches.get(batch).remaining:
        raise SystemExit(f"batch {batch} is over already: give it more clips (--kill)")


def _others(views: Sequence[JobView], fault: Mapping[str, Any], whole: Side) -> dict[str, Any]:
    """Return what the other workers did while one was away: clips, those wanted of them, and their longest wait."""
    until = fault["at"] + fault["back_s"]
    clips, wanted, longest = 0, 0.0, 0.0
    for name, rendered in _by_worker(views).items():
        if name == fault["worker"]:
            continue
        starts = sorted(view.started_at or 0.0 for view in rendered)
        inside = [start for start in starts if fault["at"] <= start <= until]
        clips += len(inside)
        wanted += (min(until, starts[-1]) - fault["at"]) / whole.steady_s
        longest = max([longest, *(later - start for start, later in pairwise(inside))])
    return {"others_clips": clips, "others_wanted": round(wanted, 1), "others_longest_s": round(longest, 3)}


def drain(host: Host, shape: Shape, clips: int) -> dict[str, Any]:
    """Send SIGTERM to the supervisor in the middle of a batch, and look at what it leaves."""
    host.submit("drained", shape, clips)
    _wait_for_clips(host, "drained", len(host.ready_s))
    started = time.monotonic()
    for command in host.commands:
        command.terminate()
    statuses = [command.wait(DRAIN_S) for command in host.commands]
    seconds = time.monotonic() - started
    views = list(host.ledger.jobs.every("drained"))
    states = {state.value: sum(view.state is state for view in views) for state in JobState}
    return {"seconds": round(seconds, 2), "statuses": statuses, "states": states} | _kept_in_store(host, views)


def _kept_in_store(host: Host, views: Sequence[JobView]) -> dict[str, Any]:
    """Return how many clips are made, how many of them the store lacks, and how many jobs failed."""
    sizes = {item.key: item.size_bytes for item in open_store(host.settings).list(f"{views[0].batch}/")}
    made = [view.result for view in views if view.result is not None]
    lost = [result.key for result in made if sizes.get(result.key) != result.size_bytes]
    doubled = len(made) - len({result.key for result in made})
    return {"made": len(made), "lost": len(lost), "doubled": doubled, "failed": _in(views, JobState.FAILED)}


def _in(views: Sequence[JobView], state: JobState) -> int:
    return sum(view.state is state for view in views)


def _done(host: Host, batch: str) -> int:
    return sum(view.result is not None for view in host.ledger.jobs.every(batch))


def _pid(host: Host, name: str) -> int:
    """Return the process id of a worker's rendering child; 0 while it is not ready."""
    view = next((view for view in host.ledger.workers.all() if view.name == name), None)
    return view.info.pid if view is not None and view.state is WorkerState.READY else 0


def _by_worker(views: Sequence[JobView]) -> dict[str, list[JobView]]:
    found: dict[str, list[JobView]] = {}
    for view in sorted(views, key=lambda view: view.started_at or 0.0):
        found.setdefault(view.worker, []).append(view)
    return dict(sorted(found.items()))


def _pace(views: Sequence[JobView]) -> float:
    if len(views) < 2:
        raise SystemExit(
            f"{views[0].worker} rendered {len(views)} clip, wanted at least 2; give the run more (--clips)"
        )
    stored = sorted(view.finished_at or 0.0 for view in views)
    return (stored[-1] - stored[0]) / (len(stored) - 1)


def _idle(views: Sequence[JobView]) -> float:
    spent = [view.result.gpu_s if view.result else 0.0 for view in views]
    wall = (views[-1].started_at or 0.0) + spent[-1] - (views[0].started_at or 0.0)
    return round(1 - sum(spent) / wall, 4)


def _gaps(
    before: Mapping[str, counters.CounterValues], after: Mapping[str, counters.CounterValues]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, values in after.items():
        old = before[name].gaps if name in before else {}
        gaps = {cause: now.total_s - (old[cause].total_s if cause in old else 0) for cause, now in values.gaps.items()}
        found[name] = {cause: round(seconds, 3) for cause, seconds in gaps.items() if seconds > 0}
    return found


def _kept(one: Side, many: Side) -> bool:
    return many.an_hour / one.an_hour >= GOAL * many.gpus and max(many.idle.values()) <= MOST_IDLE


def _table(sides: Sequence[Side]) -> None:
    """Print the sides and what follows from the first two."""
    one, many = sides[:2]
    rows: dict[str, Callable[[Side], object]] = {
        "clips": lambda side: side.clips,
        "clips an hour": lambda side: f"{side.an_hour:,.0f}",
        "between first and last stored of each, s a clip": lambda side: side.steady_s,
        "GPU time a clip, mean, s": lambda side: side.gpu_s,
        "GPU idle of each, %": lambda side: _percent(side.idle.values()),
        "GPU idle of each by NVML, %": lambda side: _percent(side.nvml_idle),
        "clips of each": lambda side: " ".join(map(str, side.clips_by_worker.values())),
        "start until ready of each, s": lambda side: " ".join(map(str, side.ready_s)),
        "memory of their own while they load, GB": lambda side: f"{side.own_gb} (one: {side.most_gb})",
        "mapped files while they load, GB": lambda side: side.file_gb,
        "CPU a clip, core-s": lambda side: f"{side.cores:.3f}",
        **{f"  {role}": lambda side, role=role: side.cpu.get(role, 0.0) for role in many.cpu},  # type: ignore[misc]
        f"cores that {MANY} GPUs would need": lambda side: f"{MANY * side.cores / side.steady_s:.1f}",
        **{f"  {stage}, median, s": lambda side, stage=stage: side.stages.get(stage) for stage in many.stages},  # type: ignore[misc]
    }
    titles = ("1 GPU, cold", f"{many.gpus} GPUs, warm", f"{many.gpus} GPUs, signed")[: len(sides)]
    print(f"\n{'':50}{''.join(f'{title:>24}' for title in titles)}")
    for what, show in rows.items():
        print(f"{what:50}{''.join(f'{show(side)!s:>24}' for side in sides)}")
    ratio, steady = many.an_hour / one.an_hour, many.gpus * one.steady_s / many.steady_s
    wanted = GOAL * many.gpus
    print(f"\n{many.gpus} GPUs make {ratio:.3f} x the clips of one (wanted: at least {wanted:.2f});", end=" ")
    print(f"between first and last stored: {steady:.3f} x")
    print(f"idle between renders by the workers themselves, s: {dict(many.gaps)}")


def _percent(shares: Any) -> str:
    return " ".join("-" if share is None else f"{100 * share:.2f}" for share in shares) or "-"
