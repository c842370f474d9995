"""The whole farm on one machine and one GPU, beside a serial script of the same parts and diffusers in the same run.

    python benchmarks/farm.py                                  # an H100, full size, random weights: about 6 minutes
    python benchmarks/farm.py --profile tiny --clips 6 --serial 3 --peer 1 --frames 9   # a CPU: does it work at all?
    python benchmarks/farm.py --gpus 2 --clips 60 --kill 40                 # one GPU, then two of this host

Real parts throughout: an embedded Valkey, `reelmill worker`, a folder store. One batch of different prompts goes in by
one submit, after a few clips of warm-up. Model, farm, script and diffusers come one after the other, each in processes
of its own, so that the GPU is theirs alone; this one never has a CUDA context. Each prints as it ends, and one that
fails does not stop the others.

What the numbers mean:

- wall a clip: from the ledger's first claim to its last accepted finish (the clip is in the store then), by the clips.
- GPU time a clip: `Result.gpu_s`, the seconds of `encode_text`, `denoise` and `decode`, each from its launch to the
  time when the GPU is done with it. What passes between stages, between clips and in delivery is not in it. What the
  GPU does meanwhile for the next clip (its text) is.
- GPU idle: 1 - sum of these / wall; by the worker's own gaps between renders, with their causes; and by NVML, which
  reports every 50 ms in which share of the last part of a second any kernel ran.
- CPU: core-seconds of worker (supervisor, Celery parent, child) and Valkey, threads that wait for the GPU included.
- energy: what the card drew over the whole batch, idling included.
- end to stored: finished_at - started_at - gpu_s, so mux, upload, the ledger's answer, and a few ms between stages.
  The script has no such thing: nothing renders meanwhile.

With `--gpus N` script and diffusers are left out: one GPU's farm and then N GPUs' are measured, `--clips` for each GPU.

Exit status 1: a part failed, or at full size the farm took more than 1.03 x its GPU time or idled more than 3 %, or N
GPUs made less than 0.985 x N of what one did.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import farm_gpus
from dispatch import commit
from farm_run import Shape, farm
from measured import GpuWatch, Measured

from reelmill_worker import logs
from reelmill_worker.host.supervisor import THREADS

MOST_WALL, MOST_IDLE = 1.03, 0.03
"""Limits of the farm at full size: wall time of a clip by its GPU time, and idle share of the GPU."""
PARTS = ("model", "serial", "diffusers")


def main() -> None:
    """Run all parts and print a table; or, started by ourselves, one part."""
    options = _options()
    logs.configure(level="warning", form="auto", stream=sys.stderr)
    shape = Shape(full=options.profile == "full", frames=options.frames, width=options.width, height=options.height)
    if options.part:
        print(json.dumps(_part(options, shape)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="reelmill-farm-") as run:
        sys.exit(_all(options, shape, Path(run)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=("full", "tiny"), default="full")
    parser.add_argument("--clips", type=int, default=120, help="clips of the farm, after the warm-up")
    parser.add_argument("--serial", type=int, default=24, help="clips of the serial script; 0: leave it out")
    parser.add_argument("--peer", type=int, default=3, help="clips of diffusers; 0: leave it out")
    parser.add_argument("--gpus", type=int, default=0, help="compare one GPU with so many of this host")
    parser.add_argument("--kill", type=int, default=0, help="with --gpus: clips a GPU while processes are killed")
    parser.add_argument("--signed", action="store_true", help="with --gpus: once more, with signed clips")
    parser.add_argument("--frames", type=int, default=0, help="of each clip; default: the profile's")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--height", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="keeps the model (16 GB) for the next run; default: nothing is kept"
    )
    parser.add_argument("--json", type=Path, help="also write everything into this file, part by part")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.signed and not options.gpus:
        parser.error("--signed belongs to --gpus N")
    if options.clips < 2:
        parser.error(f"--clips {options.clips} is too few; use 2 or more")
    if options.folder:
        options.folder = options.folder.resolve()
        options.folder.mkdir(parents=True, exist_ok=True)
    return options


def _part(options: argparse.Namespace, shape: Shape) -> Mapping[str, Any]:
    import farm_peers  # noqa: PLC0415 - torch: the process that runs the farm stays without

    if options.part == "model":
        return farm_peers.write_model(options.model, full=shape.full)
    if options.part == "serial":
        return farm_peers.serial(options.run, options.model, shape, options.serial)
    return farm_peers.diffusers(options.run, options.model, shape, options.peer)


def _all(options: argparse.Namespace, shape: Shape, run: Path) -> int:
    model = (options.folder or run) / f"model-{options.profile}"
    found: dict[str, Any] = {"machine": machine()}
    print("  ".join(f"{name} {value}" for name, value in found["machine"].items()), flush=True)

    def child(part: str) -> Callable[[], Mapping[str, Any]]:
        return lambda: _child(part, run, model, shape)

    if options.gpus:
        return _many(options, shape, run, model, found)
    steps: list[tuple[str, Callable[[], Mapping[str, Any]]]] = [
        ("model", child("model")),
        ("farm", lambda: asdict(farm(run, model, shape, options.clips))),
        *([("serial", child("serial"))] if options.serial else []),
        *([("diffusers", child("diffusers"))] if options.peer else []),
    ]
    for name, step in steps:
        found[name] = _survive(name, step)
        print(f"{name}: {json.dumps(found[name]) if found[name] else 'FAILED'}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
        if not found["model"]:
            return 1
    _table({name: Measured(**found[name]) for name, _ in steps[1:] if found[name]})
    return 0 if all(found[name] for name, _ in steps) and (not shape.full or _kept(Measured(**found["farm"]))) else 1


def _many(options: argparse.Namespace, shape: Shape, run: Path, model: Path, found: dict[str, Any]) -> int:
    """Write the model, and compare one GPU with several; keep what there is after each part."""

    def keep(name: str, numbers: Mapping[str, Any]) -> None:
        found[name] = numbers
        print(f"{name}: {json.dumps(numbers)}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")

    keep("model", _child("model", run, model, shape))
    return farm_gpus.compare(run, model, shape, options, keep)


def _survive(name: str, step: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return step()
    except (Exception, SystemExit):  # noqa: BLE001 - a part that fails is reported, and the others go on
        print(f"{name}: {traceback.format_exc(limit=-4)}", file=sys.stderr, flush=True)
    return {}


def _child(part: str, run: Path, model: Path, shape: Shape) -> Mapping[str, Any]:
    """Run one part as this program again; what it logs goes to stderr, and its last line is the answer."""
    own = ["--part", part, "--run", str(run), "--model", str(model)]
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], *own]
    env = {**os.environ, **THREADS, **({} if shape.full else {"CUDA_VISIBLE_DEVICES": ""})}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    answer: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def machine() -> dict[str, Any]:
    """Return what the run is on and of what."""
    return {
        "gpu": GpuWatch().name or "none",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": version("torch"),
        "celery": version("celery"),
        "commit": commit(),
    }


def _kept(farm: Measured) -> bool:
    return _by_gpu(farm) <= MOST_WALL and farm.more["idle"] <= MOST_IDLE


def _by_gpu(run: Measured) -> float:
    return run.wall_s / run.gpu_s if run.gpu_s else float("nan")


def _table(runs: Mapping[str, Measured]) -> None:
    """Print the ways side by side, and then what only the farm has."""
    rows: dict[str, Callable[[Measured], float | None]] = {
        "clips": lambda run: run.clips,
        "wall a clip, s": lambda run: run.wall_s,
        "clips an hour": lambda run: 3600 / run.wall_s,
        "GPU time a clip, mean, s": lambda run: run.gpu_s,
        "GPU time a clip, median, s": lambda run: run.gpu_median_s,
        "wall / GPU time": lambda run: _by_gpu(run) if run.gpu_s else None,
        "GPU idle, 1 - GPU time / wall, %": lambda run: 100 * (1 - 1 / _by_gpu(run)) if run.gpu_s else None,
        "GPU idle by NVML, %": lambda run: None if run.nvml_idle is None else 100 * run.nvml_idle,
        "CPU a clip, core-s": lambda run: run.cpu_s,
        "energy a clip, J": lambda run: run.energy_j,
        **{f"  {stage}, median, s": _stage(stage) for stage in _stages(runs)},
    }
    print(f"\n{'':36}" + "".join(f"{name:>12}" for name in runs))
    for what, figure in rows.items():
        print(f"{what:36}" + "".join(f"{_shown(figure(run)):>12}" for run in runs.values()))
    if "farm" in runs:
        _farm_alone(runs["farm"])


def _stages(runs: Mapping[str, Measured]) -> dict[str, None]:
    return dict.fromkeys(stage for run in runs.values() for stage in run.stages)


def _stage(stage: str) -> Callable[[Measured], float | None]:
    return lambda run: run.stages.get(stage)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,d}" if isinstance(value, int) else f"{value:,.1f}" if value >= 100 else f"{value:.3f}"


def _farm_alone(farm: Measured) -> None:
    more = farm.more
    causes = ", ".join(f"{cause} {seconds:.2f} s" for cause, seconds in more["gaps"].items()) or "none"
    print(f"\nfarm: wall a clip {_by_gpu(farm):.4f} x GPU time (wanted: at most {MOST_WALL}),", end=" ")
    print(f"GPU idle {more['idle']:.2%} of {more['seconds']:.1f} s (wanted: at most {MOST_IDLE:.0%})")
    print(f"idle between renders, by the worker: {more['gap_idle']:.2%}: {causes}")
    print(f"between first and last stored: {more['steady_wall_s']:.4f} s a clip; worker ready in {more['ready_s']} s")
    print(f"render's end to stored: median {more['end_to_stored_s']} s, most {more['end_to_stored_max_s']} s;", end=" ")
    print(f"the last one's {more['last_end_to_stored_s']} s, with nothing left to render, are in the wall and the idle")
    print(f"of the CPU, Valkey: {more['server_cpu_s']:.4f} core-s a clip; a clip has {more['clip_bytes']:,} bytes")
    print(f"energy within renders alone: {more['render_energy_j'] or '-'} J a clip")
    print(f"all {farm.clips} clips in the store once, as the ledger has them; tried again: {more['tried_again']}")


if __name__ == "__main__":
    main()
