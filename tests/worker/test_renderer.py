"""What renders: the model that the settings ask for, or a test card after a fixed time."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from fixtures.farm import specs
from reelmill_common.errors import InvalidModel, InvalidSettings, JobCancelled
from reelmill_common.settings import Settings
from reelmill_worker.renderer import STAGES, FixedDurationRenderer, open_renderer


def test_a_fixed_renderer_takes_its_time_and_passes_every_stage() -> None:
    stages: list[str] = []
    started = time.monotonic()

    rendering = FixedDurationRenderer(seconds=0.2).render(specs(1)[0], stages.append)

    assert time.monotonic() - started >= 0.2
    assert tuple(stages) == STAGES
    assert rendering.frames.shape == (5, 80, 128, 3)
    assert rendering.frames.dtype == np.uint8


def test_a_test_card_moves_and_is_not_black() -> None:
    frames = FixedDurationRenderer(seconds=0).render(specs(1, frames=81)[0], lambda _stage: None).frames

    assert frames.mean() > 16
    assert all((frames[index] != frames[index + 1]).any() for index in range(80))


def test_what_a_stage_raises_ends_the_render_and_the_renderer_goes_on() -> None:
    renderer = FixedDurationRenderer(seconds=0.01)

    def stop(stage: str) -> None:
        if stage == "decode":
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        renderer.render(specs(1)[0], stop)

    assert renderer.render(specs(1)[0], lambda _stage: None).frames.any()


def test_the_setting_chooses_the_renderer(settings: Settings) -> None:
    renderer = open_renderer(dataclasses.replace(settings, renderer="fixed:0.5"), "tiny")

    assert isinstance(renderer, FixedDurationRenderer)
    assert renderer.describe()["renderer"] == "fixed:0.5"


def test_a_renderer_that_nobody_knows_is_refused_with_an_example() -> None:
    with pytest.raises(InvalidSettings, match="is neither model nor fixed:SECONDS"):
        Settings.from_env({"REELMILL_RENDERER": "magic"})


def test_the_model_lies_in_the_state_folder_unless_a_folder_is_named(settings: Settings) -> None:
    named = dataclasses.replace(settings, model_dir="/models/wan")

    assert settings.model_folder("tiny") == settings.state_dir / "models" / "tiny"
    assert str(named.model_folder("tiny")) == "/models/wan"


def test_a_missing_model_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidModel, match="models/tiny"):
        open_renderer(settings, "tiny")
