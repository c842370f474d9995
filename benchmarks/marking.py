"""What marking costs a clip at 832x480: milliseconds of the delivery thread and bytes of the file, part by part.

    python benchmarks/marking.py

The clip is `benchmarks/recognition.py`'s: 81 frames, encoded once. What a worker does besides (the plain tags, XMP) is
written with the file and is too little to time. Run it by itself.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dispatch import signing
from recognition import FPS, FRAMES, HEIGHT, WIDTH, draw

from reelmill_common.jobs import RenderSpec, job_id
from reelmill_common.provenance.plain_marks import xmp_box
from reelmill_common.recipe import JobOrigin, Recipe, versions
from reelmill_common.settings import Settings
from reelmill_worker.delivery.marks import ClipMarker
from reelmill_worker.delivery.video import write_clip

ROUNDS = 60
PROMPT = "a red fox walks through fresh snow at dawn, " * 10


def main() -> None:
    """Print the table."""
    luma = [np.asarray(picture[..., 1]) for picture in draw(1)]
    colour = np.full((HEIGHT // 2, WIDTH), 128, dtype=np.uint8)
    planes = np.stack([np.concatenate([one, colour]) for one in luma])
    spec = RenderSpec(prompt=PROMPT.strip(), frames=FRAMES, fps=FPS, profile="tiny")
    job = JobOrigin(job_id=job_id("night", "0001"), batch="night", row="0001", attempt=1, worker="gpu0@host")
    recipe = Recipe(job=job, spec=spec, model_hash="ab" * 32, versions=versions(), latents_sha256="cd" * 32).document()
    with TemporaryDirectory() as folder:
        source, video = Path(folder, "source.mp4"), Path(folder, "clip.mp4")
        write_clip(planes, source, fps=FPS, recipe=recipe)
        signed = ClipMarker.of(signing(Settings(), Path(folder)))
        quiet = replace(signed, takes_fingerprints=False)
        plain = ClipMarker.of(Settings())

        def fresh() -> None:
            shutil.copyfile(source, video)

        took = {
            "fingerprint": _milliseconds(lambda: plain.mark(video, planes, recipe), fresh),
            "signature": _milliseconds(lambda: quiet.mark(video, planes, recipe), fresh),
            "both": _milliseconds(lambda: signed.mark(video, planes, recipe), fresh),
        }
        fresh()
        signed.mark(video, planes, recipe)
        more = video.stat().st_size - source.stat().st_size
        names = ", ".join(f"{name} {version(name)}" for name in ("c2pa-python", "pdqhash"))
        print(f"{names}, {os.cpu_count()} CPUs, {ROUNDS} rounds")
        print(f"a file of {source.stat().st_size:,} bytes grows by {more:,} for the signed manifest, with a prompt of")
        print(f"{len(PROMPT)} letters in it; XMP has taken {len(xmp_box('tiny'))} of them before")
        print(f"\n| part | CPU ms, median | CPU ms, least | ms on the wall, median |\n{'| --- ' * 4}|")
        for name, (core, least, wall) in took.items():
            print(f"| {name} | {core:.2f} | {least:.2f} | {wall:.2f} |")


def _milliseconds(work: Callable[[], object], before: Callable[[], None]) -> tuple[float, float, float]:
    """Return median and least of this thread's CPU over some rounds, and the median on the wall."""
    core, wall = [], []
    for _ in range(ROUNDS):
        before()
        started, used = time.perf_counter(), time.thread_time()
        work()
        core.append((time.thread_time() - used) * 1000)
        wall.append((time.perf_counter() - started) * 1000)
    return statistics.median(core), min(core), statistics.median(wall)


if __name__ == "__main__":
    main()
