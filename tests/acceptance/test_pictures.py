"""The farm's eyes: clips in the store show what their prompts say, read from their frames by trackers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from torch import Tensor
from training.evaluation import pictures
from training.trackers import Seen, see

from fixtures.farm import Farm
from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline.prepare.tiny_model import make_trained_tiny

pytestmark = pytest.mark.services

ASKED = {
    ("A big green ball rolls right on a brown floor at dusk", 7): ("dusk", "brown", "green", "ball", "rolls right"),
    ("A big green ball rolls right on a brown floor at dusk", 8): ("dusk", "brown", "green", "ball", "rolls right"),
    ("A pink cone falls over a white floor at dawn", 13): ("dawn", "white", "pink", "cone", "falls"),
    ("Two yellow stars rise over a blue floor at night", 11): ("night", "blue", "yellow", "star", "rises"),
}
"""By prompt and seed: what the clip must show. The model renders these rightly; `docs/qad.md` has its error rates."""


def test_clips_in_the_store_show_what_their_prompts_say(make_farm: Callable[..., Farm], tmp_path: Path) -> None:
    make_trained_tiny(tmp_path / "tiny")
    farm = make_farm(model_dir=str(tmp_path / "tiny"))
    farm.start()
    specs = [RenderSpec(prompt=prompt, seed=seed, profile="tiny") for prompt, seed in ASKED]

    jobs = farm.submit("seen", specs)
    again = farm.submit("again", specs[:1])
    farm.wait_done("seen")
    farm.wait_done("again")

    clips = [stored_clip(farm, job) for job in jobs]
    found = [see(clip[None])[0] for clip in clips]
    assert found == [
        Seen(time=time, floor=floor, things={colour: thing}, motions={colour: motion})
        for time, floor, colour, thing, motion in ASKED.values()
    ]
    first, other, *_ = jobs
    assert latents(farm, again[0]) == latents(farm, first)
    assert latents(farm, other) != latents(farm, first)
    assert stored_clip(farm, again[0]).equal(clips[0])
    assert not clips[1].equal(clips[0])


def latents(farm: Farm, job_id: str) -> str:
    result = farm.ledger.jobs.get(job_id).result
    assert result is not None
    return result.latents_sha256


def stored_clip(farm: Farm, job_id: str) -> Tensor:
    """Decode a clip of the store to (f, 3, h, w), 0 to 1."""
    result = farm.ledger.jobs.get(job_id).result
    assert result is not None
    with av.open(io.BytesIO(farm.store.get(result.key))) as file:
        planes = np.stack([frame.to_ndarray() for frame in file.decode(video=0)])
    assert planes.shape == (81, 120, 128)
    return pictures(planes, 80)
