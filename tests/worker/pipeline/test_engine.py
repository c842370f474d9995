from pathlib import Path

import numpy as np
import pytest

from reelmill_common.jobs import RenderSpec
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.engine import Engine
from reelmill_worker.pipeline.network.plan import cpu_plan

STAGES = ["encode_text", "denoise 1/3", "denoise 2/3", "denoise 3/3", "decode"]


def spec(**values: object) -> RenderSpec:
    return RenderSpec(**{"prompt": "a red fox trots through snow", "profile": "tiny", "frames": 9, **values})


def ignore(_stage: str) -> None:
    """Take no notice of stages."""


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Engine:
    return Engine.load(ModelFolder.open(tiny_model), cpu_plan())


def test_a_clip_has_the_frames_and_size_that_were_asked_for(engine: Engine) -> None:
    clip = engine.render(spec(frames=81), ignore)

    assert clip.planes.shape == (81, 120, 128)
    assert clip.planes.dtype == np.uint8
    assert clip.planes[:, :80].std() > 10


@pytest.mark.parametrize("sampler", ["dmd3", "unipc3"])
def test_the_same_job_twice_is_the_same_to_the_bit_and_another_seed_is_not(sampler: str, engine: Engine) -> None:
    first, again, other = (engine.render(spec(sampler=sampler, seed=seed), ignore) for seed in (7, 7, 8))

    assert first.latents_sha256 == again.latents_sha256
    assert np.array_equal(first.planes, again.planes)
    assert first.latents_sha256 != other.latents_sha256
    assert not np.array_equal(first.planes, other.planes)


@pytest.mark.parametrize("change", [{"prompt": "a lighthouse"}, {"sampler": "unipc3"}, {"width": 80, "height": 128}])
def test_whatever_decides_the_pixels_changes_the_latents(change: dict[str, object], engine: Engine) -> None:
    assert engine.render(spec(), ignore).latents_sha256 != engine.render(spec(**change), ignore).latents_sha256


def test_both_decoders_show_the_same_latents(engine: Engine) -> None:
    tiny, wan = (engine.render(spec(frames=5, decoder=name), ignore) for name in ("tiny", "wan"))

    assert tiny.latents_sha256 == wan.latents_sha256
    assert wan.planes.shape == (5, 120, 128)


def test_each_stage_is_announced_before_it_begins_and_timed(engine: Engine) -> None:
    seen: list[str] = []

    clip = engine.render(spec(), seen.append)

    assert seen == STAGES
    assert clip.seconds.keys() == {"encode_text", "denoise", "decode"}
    assert all(seconds > 0 for seconds in clip.seconds.values())
