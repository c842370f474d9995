from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from training.corpus import paint_scenes, painted_bytes
from training.painter import pack
from training.trackers import Seen, score, see, wrong_things
from training.world import Scene, draw_scenes

SEED = 77
"""The trackers were not tuned on its scenes."""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(24, SEED)


@pytest.fixture(scope="module")
def clips(scenes: list[Scene]) -> Tensor:
    return painted_bytes(scenes, "cpu")[0][:, ::4].float() / 255


def test_the_trackers_read_back_what_was_painted(scenes: list[Scene], clips: Tensor) -> None:
    right = score(see(clips), scenes)

    assert right == {"thing": 1, "colour": 1, "motion": 1, "floor": 1, "time": 1}


def test_a_mirrored_clip_rolls_the_other_way_and_shows_the_same_things(scenes: list[Scene], clips: Tensor) -> None:
    other = {"rolls left": "rolls right", "rolls right": "rolls left"}

    seen, mirrored = see(clips), see(clips.flip(4))

    assert [one.things for one in mirrored] == [one.things for one in seen]
    assert [one.motions for one in mirrored] == [
        {colour: other.get(motion, motion) for colour, motion in one.motions.items()} for one in seen
    ]


def test_small_things_that_turn_are_told_apart_when_their_outlines_are_soft(scenes: list[Scene]) -> None:
    plain = next(scene for scene in scenes if scene.camera == "still" and scene.weather == "clear")
    small = [_with_one_small(thing, plain) for thing in ("ball", "cube", "star")]
    frames = paint_scenes(pack(small, "cpu"))[:, ::4]

    soft = frames.flatten(0, 1)
    for _ in range(5):
        soft = F.avg_pool2d(soft, 3, stride=1, padding=1, count_include_pad=False)

    assert score(see(soft.view_as(frames)), small)["thing"] == 1


def _with_one_small(thing: str, scene: Scene) -> Scene:
    group = replace(scene.groups[0], thing=thing, size="small", motion="spins", places=(0.5,))
    return replace(scene, groups=(group,))


def test_a_picture_without_things_shows_none() -> None:
    frames = torch.full((1, 21, 3, 80, 128), 0.5)

    assert see(frames) == [Seen(time=see(frames)[0].time, floor="grey", things={}, motions={})]


def test_what_was_not_seen_is_counted_by_kind_and_motion(scenes: list[Scene], clips: Tensor) -> None:
    seen = see(clips)
    first = scenes[0].groups[0]
    seen[0].things.clear()

    wrong = wrong_things(seen, scenes)

    assert sum(wrong.values()) == len(scenes[0].groups)
    assert wrong[f"{first.thing} {first.motion}"] >= 1
