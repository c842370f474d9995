"""What renders: the model that the settings ask for, or a test card after a fixed time."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fixtures.farm import specs
from reelmill_common.errors import BadOutput, InvalidModel, InvalidSettings, JobCancelled
from reelmill_common.jobs import DEFAULT_PROFILE, RENDER_STAGES
from reelmill_common.settings import Settings
from reelmill_worker.child.renderer import FixedDurationRenderer, open_renderer


def test_a_fixed_renderer_takes_its_time_and_passes_every_stage() -> None:
    stages: list[str] = []
    started = time.monotonic()

    rendering = FixedDurationRenderer(seconds=0.2).render(specs(1)[0], stages.append)

    assert time.monotonic() - started >= 0.2
    assert tuple(stages) == RENDER_STAGES
    assert rendering.planes.shape == (5, 120, 128)
    assert rendering.planes.dtype == np.uint8


def test_a_test_card_moves_and_is_not_black() -> None:
    luma = FixedDurationRenderer(seconds=0).render(specs(1, frames=81)[0], lambda _stage: None).planes[:, :80]

    assert luma.mean() > 30
    assert all((luma[index] != luma[index + 1]).any() for index in range(80))


def test_what_a_stage_raises_ends_the_render_and_the_renderer_goes_on() -> None:
    renderer = FixedDurationRenderer(seconds=0.01)

    def stop(stage: str) -> None:
        if stage == "decode":
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        renderer.render(specs(1)[0], stop)

    assert renderer.render(specs(1)[0], lambda _stage: None).planes.any()


def test_a_broken_renderer_fails_every_render_and_passes_its_canary(settings: Settings) -> None:
    renderer = open_renderer(dataclasses.replace(settings, renderer="fixed:0.01:broken"), "tiny")

    renderer.canary()
    for spec in specs(2):
        with pytest.raises(BadOutput, match="fixed:SECONDS:broken"):
            renderer.render(spec, lambda _stage: None)


def test_a_prompt_with_the_mark_kills_the_process_halfway() -> None:
    script = (
        "from reelmill_worker.child.renderer import FixedDurationRenderer as Renderer; "
        "from reelmill_common.jobs import RenderSpec as Spec; "
        "spec = Spec(prompt='a fox [kill]', profile='tiny'); "
        "Renderer(seconds=0).render(spec, lambda stage: print(stage, flush=True))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.splitlines()[-1] == "denoise 2/3"


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


def test_random_weights_are_refused_for_a_real_profile(settings: Settings, tiny_model: Path) -> None:
    with pytest.raises(InvalidModel, match=r"holds random weights .* run `reelmill model pull`"):
        open_renderer(dataclasses.replace(settings, model_dir=str(tiny_model)), DEFAULT_PROFILE)


def test_a_missing_model_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidModel, match="models/tiny"):
        open_renderer(settings, "tiny")
