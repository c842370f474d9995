"""One worker of a whole farm on this machine, measured from the first claim of a batch to its last stored clip.

Part of `farm.py`. No torch here: the GPU is the worker's alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dispatch import embedded, wait, worker
from measured import GpuWatch, Measured, cpu_seconds, energy, stage_medians

from reelmill_common import broker
from reelmill_common.jobs import DEFAULT_PROFILE, Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import JobView, Ledger, Result, WorkerState
from reelmill_common.profiles import TINY
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_common.storage.keys import clip_keys
from reelmill_worker.ipc import counters

PROMPT = (
    "Take {take}: a raccoon in a small yellow raincoat walks along a wet city street at night, neon signs shine in "
    "the puddles, it stops to look into a shop window and its breath shows in the cold air, the camera follows low and "
    "close."
)
READY_S, CLIP_S = 400.0, 20.0
"""Longest waits: for a worker with its model loaded, and for each clip."""
WARM_CLIPS = 4
POLL_S = 0.1
SERVER = "valkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What all clips of a run are; 0 is the profile's default."""

    full: bool
    frames: int
    width: int
    height: int


def spec_of(shape: Shape, take: int) -> RenderSpec:
    """Return one clip of a run: no two have a prompt or a seed in common."""
    return RenderSpec(
        prompt=PROMPT.format(take=take),
        seed=take,
        frames=shape.frames,
        width=shape.width,
        height=shape.height,
        profile=DEFAULT_PROFILE if shape.full else TINY,
    )


def farm(run: Path, model: Path, shape: Shape, clips: int) -> Measured:
    """Measure the farm. Raises `SystemExit` when something does not come in time, or a clip is not as it must be."""
    with running(run, model, shape) as (settings, ledger, ready_s):
        _render(ledger, settings, "warm-up", shape, range(clips, clips + WARM_CLIPS))
        watch = GpuWatch()
        with watch.watching():
            cores, joules = cpu_seconds(os.getpid()), watch.joules()
            before = _submit(ledger, settings, "farm", shape, range(clips))
            _finish(ledger, "farm", clips)
            after_cores, after_joules = cpu_seconds(os.getpid()), watch.joules()
        views = ledger.jobs.page("farm", count=clips)
        check(settings, views, clips)
        gaps = _gaps(before, _counted(settings, stored=WARM_CLIPS + clips))
        cores = {name: after_cores[name] - cores.get(name, 0.0) for name in after_cores}
        measured = _measured(views, gaps, watch)
        server = sum(seconds for name, seconds in cores.items() if SERVER in name)
        return replace(
            measured,
            cpu_s=round(sum(cores.values()) / clips, 3),
            energy_j=energy(joules, after_joules, clips),
            more={**measured.more, "ready_s": round(ready_s, 1), "server_cpu_s": round(server / clips, 4)},
        )


@contextmanager
def running(run: Path, model: Path, shape: Shape) -> Iterator[tuple[Settings, Ledger, float]]:
    """Run server and worker for the length of a block, which begins when the worker is ready to render.

    Yields settings, ledger and the seconds that the worker took to start.
    """
    with embedded(0) as own:
        settings = replace(
            own,
            renderer="model",
            profile=spec_of(shape, 0).profile,
            model_dir=str(model),
            state_dir=run / "state",
            store_url=f"file://{run}/store",
        )
        settings.state_dir.mkdir(parents=True)
        started = time.monotonic()
        with Ledger.connect(settings) as ledger, worker(settings, devices="0" if shape.full else "cpu"):
            wait(lambda: _is_ready(ledger), "a ready worker", limit_s=READY_S)
            yield settings, ledger, time.monotonic() - started


def _is_ready(ledger: Ledger) -> bool:
    views = ledger.workers.all()
    unfit = [view.reason for view in views if view.state is WorkerState.QUARANTINED]
    if unfit:
        raise SystemExit(f"the worker is quarantined: {unfit[0]}")
    return any(view.state is WorkerState.READY for view in views)


def _render(ledger: Ledger, settings: Settings, batch: str, shape: Shape, takes: range) -> None:
    _submit(ledger, settings, batch, shape, takes)
    _finish(ledger, batch, len(takes))
    _counted(settings, stored=len(takes))


def _submit(ledger: Ledger, settings: Settings, batch: str, shape: Shape, takes: range) -> counters.CounterValues:
    """Submit a batch; return the worker's counts once its first render has begun.

    The gap before that one is in them: the wait for work is not the farm's.
    """
    gaps = _read(settings).gaps
    jobs = [RenderJob(batch=batch, row=f"{take:04d}", spec=spec_of(shape, take)) for take in takes]
    ledger.batches.submit(Batch(name=batch), jobs)
    broker.pump(ledger, broker.make_app(settings), settings, settings.profile)
    wait(lambda: _read(settings).gaps != gaps, "a render")
    return _read(settings)


def _finish(ledger: Ledger, batch: str, clips: int) -> None:
    wait(
        lambda: not ledger.batches.get(batch).remaining,
        f"batch {batch}",
        limit_s=READY_S + clips * CLIP_S,
        every_s=POLL_S,
    )


def _counted(settings: Settings, *, stored: int) -> counters.CounterValues:
    """Return the worker's counts once they are written: at most half a second late."""
    wait(lambda: _read(settings).clips.get("stored", 0) >= stored, "the worker's counters", every_s=POLL_S)
    return _read(settings)


def _read(settings: Settings) -> counters.CounterValues:
    paths = list((settings.state_dir / "run").glob("*.figures"))
    return counters.read(paths[0]) if paths else counters.CounterValues()


def check(settings: Settings, views: Sequence[JobView], clips: int) -> None:
    """Compare ledger and store. Raises `SystemExit` unless each clip is there once, with its poster and manifest."""
    store = open_store(settings)
    sizes = {item.key: item.size_bytes for item in store.list(f"{views[0].batch}/")}
    wrong = [f"{view.row} {view.state} {view.error}" for view in views if view.state is not JobState.SUCCEEDED]
    wanted: dict[str, int] = {}
    for view in views:
        if view.result is not None:
            keys = clip_keys(view.batch, view.row, attempt=view.attempts)
            wanted[view.result.key] = view.result.size_bytes
            wrong += [f"no {key}" for key in (keys.poster, keys.manifest) if key not in sizes]
    videos = {key: size for key, size in sizes.items() if key.endswith(".mp4")}
    if wrong or len(wanted) != clips or videos != wanted:
        raise SystemExit(f"{len(videos)} videos for {clips} clips, {len(wanted)} in the ledger; wrong: {wrong[:5]}")


def _gaps(before: counters.CounterValues, after: counters.CounterValues) -> dict[str, float]:
    """Return seconds without a render by cause, after the first one had begun."""
    earlier = {cause: spread.total_s for cause, spread in before.gaps.items()}
    gaps = {cause: spread.total_s - earlier.get(cause, 0.0) for cause, spread in after.gaps.items()}
    return {cause: round(seconds, 3) for cause, seconds in gaps.items() if seconds > 0}


def _measured(views: Sequence[JobView], gaps: Mapping[str, float], watch: GpuWatch) -> Measured:
    views = sorted(views, key=lambda view: view.started_at or 0.0)
    results: list[Result] = [view.result for view in views if view.result is not None]
    started = [view.started_at or 0.0 for view in views]
    finished = sorted(view.finished_at or 0.0 for view in views)
    gpu = [result.gpu_s for result in results]
    joules = [result.energy_j for result in results if result.energy_j is not None]
    wall = finished[-1] - started[0]
    ends = [(view.finished_at or 0) - (view.started_at or 0) - spent for view, spent in zip(views, gpu, strict=True)]
    more: dict[str, Any] = {
        "seconds": round(wall, 3),
        "steady_wall_s": round((finished[-1] - finished[0]) / (len(views) - 1), 4),
        "idle": round(1 - sum(gpu) / wall, 4),
        "gaps": dict(gaps),
        "gap_idle": round(sum(gaps.values()) / wall, 4),
        "render_energy_j": round(statistics.mean(joules), 1) if joules else None,
        "end_to_stored_s": round(statistics.median(ends), 3),
        "end_to_stored_max_s": round(max(ends), 3),
        "last_end_to_stored_s": round(ends[-1], 3),
        "clip_bytes": round(statistics.mean(result.size_bytes for result in results)),
        "tried_again": sum(view.attempts > 1 for view in views),
    }
    return Measured(
        clips=len(views),
        wall_s=round(wall / len(views), 4),
        gpu_s=round(statistics.mean(gpu), 4),
        gpu_median_s=round(statistics.median(gpu), 4),
        cpu_s=0.0,
        nvml_idle=watch.idle(started[0], finished[-1]),
        stages=stage_medians([result.seconds for result in results]),
        more=more,
    )
