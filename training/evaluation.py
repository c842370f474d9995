"""The evaluation: the product renders captions that training never saw, and the trackers read its frames."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.prepare.tiny_model import make_trained_tiny
from reelmill_worker.pipeline.resident import Resident
from training.captions import caption
from training.trackers import ATTRIBUTES, Seen, score, see
from training.world import Scene, draw_scenes

UNSEEN = 9_000
"""Added to the seed of scenes and captions; training draws with 101 and 201."""


def evaluate(captions: int, seed: int, *, unseen_only: bool = False) -> Iterator[str]:
    """Render captions with the package's weights by the product's pipeline on the CPU; yield lines of a Markdown table.

    Args:
        captions: How many of unseen scenes, and as many of scenes with a held-out pair of thing and colour. A clip
            takes 2 to 3 s.
        seed: Decides scenes, captions and noise.
        unseen_only: No held-out ones.
    """
    yield f"| captions | {' | '.join(ATTRIBUTES)} |"
    yield f"|---{'|---' * len(ATTRIBUTES)}|"
    with tempfile.TemporaryDirectory() as folder:
        make_trained_tiny(Path(folder) / "tiny")
        resident = Resident.load(Path(folder) / "tiny", plan=cpu_plan())
        for name, held_out in (("unseen", False), *([] if unseen_only else [("held out", True)])):
            scenes = draw_scenes(captions, UNSEEN + seed, held_out=held_out)
            right = score(seen_in(resident, scenes, seed), scenes)
            shares = " | ".join(f"{right[key]:.3f}" for key in ATTRIBUTES)
            yield f"| {captions} {name} | {shares} |"


def seen_in(resident: Resident, scenes: Sequence[Scene], seed: int) -> list[Seen]:
    """Render each scene's caption and read the clip."""
    dice = random.Random(UNSEEN + seed)  # noqa: S311 - a world, not a secret
    found: list[Seen] = []
    for number, scene in enumerate(scenes):
        spec = RenderSpec(prompt=caption(scene, dice), seed=seed + number, profile="tiny")
        planes = resident.render(spec, lambda _stage: None).planes
        found += see(pictures(planes, spec.height)[None])
    return found


def pictures(planes: NDArray[np.uint8], height: int) -> Tensor:
    """Turn planes (f, h * 3 / 2, w) of limited-range BT.709 into (f, 3, h, w) of 0 to 1."""
    frames, _, width = planes.shape
    values = torch.from_numpy(planes).float().flatten(1)
    y = (values[:, : height * width].view(frames, height, width) - 16) / 219
    chroma = (values[:, height * width :].view(frames, 2, height // 2, width // 2) - 128) / 224
    u, v = chroma.repeat_interleave(2, 2).repeat_interleave(2, 3).unbind(1)
    return torch.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], dim=1).clamp(0, 1)
