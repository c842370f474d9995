"""The commands of training: `python -m training STAGE…`, one after the other in one process.

A stage is a name, and where it has one, a limit or an argument after a colon: `autoencoder:160s` trains for 160
seconds, `teacher:4000` for 4,000 steps, `exam:teacher` examines a checkpoint. Each leaves a checkpoint behind. Between
stages, `seed:2`, `format:int8`, `guidance:4` and `from:student-float-1` change an option for the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from training.checkpoints import set_exact, set_threads
from training.commands import COMMANDS, PRODUCT_COMMANDS, Options
from training.rounding import FORMATS
from training.stages.student import GUIDANCE

SMOKE = (
    "autoencoder:1", "decoder:1", "teacher:1", "paths:1", "student:1", "matching:1", "exam:matched-fp8-1",
    "artifact:matched-fp8-1", "evaluate",
)  # fmt: skip
"""All stages."""

SETTINGS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "seed": ("seed", int),
    "format": ("format", str),
    "from": ("start", str),
    "guidance": ("guidance", float),
}
"""Options that may change between stages, and how they are read."""


def main() -> None:
    """Run stages."""
    options = _options()
    set_threads(options.device)
    options.folder.mkdir(parents=True, exist_ok=True)
    for stage in options.stages:
        name, _, argument = stage.partition(":")
        if name in SETTINGS:
            option, read = SETTINGS[name]
            options = replace(options, **{option: read(argument)})
            continue
        set_exact(exact=options.exact and name != "exam")  # the trackers have sums in any order, and change no weights
        started = time.monotonic()
        {**COMMANDS, **PRODUCT_COMMANDS}[name](options, argument)
        print(f"{stage}: {time.monotonic() - started:.0f} s in all", flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join((*COMMANDS, *PRODUCT_COMMANDS)))
    parser.add_argument("--smoke", action="store_true", help="Run all stages, each for one step, on the CPU.")
    parser.add_argument("--folder", type=Path, default=Path("training-run"), help="Folder of the checkpoints.")
    parser.add_argument("--clips", type=int, default=16_000, help="Clips to paint.")
    parser.add_argument("--batch", type=int, default=64, help="Clips a step.")
    parser.add_argument("--rate", type=float, default=2e-3, help="The teacher's highest learning rate.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--go-on", action="store_true", help="The teacher goes on from its checkpoint.")
    parser.add_argument("--format", default="fp8", choices=tuple(FORMATS), help="What a student computes in.")
    parser.add_argument(
        "--from", dest="start", default="", help="Checkpoint that matching starts from or a quantized student follows."
    )
    parser.add_argument("--path-steps", type=int, default=16, help="The teacher's steps of a path.")
    parser.add_argument("--teacher-steps", type=int, default=50, help="The teacher's steps in an exam.")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="The teacher's guidance.")
    parser.add_argument("--captions", type=int, default=1000, help="Unseen captions to examine, and as many held out.")
    parser.add_argument("--exact", action="store_true", help="Equal weights from equal limits of steps; slower.")
    parser.add_argument("--unseen-only", action="store_true", help="No held-out captions in an exam.")
    parser.add_argument("--out", type=Path, default=None, help="Artifact to write. Default: the package's.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    values = vars(parser.parse_args())
    if values.pop("smoke"):
        out = values["out"] or values["folder"] / "tiny_weights.safetensors"
        values |= {
            "device": "cpu",
            "clips": 2,
            "batch": 1,
            "captions": 2,
            "path_steps": 1,
            "out": out,
            "unseen_only": True,
        }
        values["stages"] = values["stages"] or list(SMOKE)
    known = {**COMMANDS, **PRODUCT_COMMANDS}
    unknown = [stage for stage in values["stages"] if stage.partition(":")[0] not in {*known, *SETTINGS}]
    if unknown or not values["stages"]:
        parser.error(f"unknown stages {unknown}; wanted some of {', '.join(known)}")
    return Options(**values)


if __name__ == "__main__":
    main()
