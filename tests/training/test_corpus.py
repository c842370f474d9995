from __future__ import annotations

import torch
from training.autoencoder import Encoder
from training.corpus import HARD_MOTIONS, HARD_THINGS, draw_hard_scenes, make_corpus


def test_a_third_of_the_scenes_have_what_is_hard_and_none_a_held_out_pair() -> None:
    scenes = draw_hard_scenes(600, 5)

    hard = [any(group.thing in HARD_THINGS and group.motion in HARD_MOTIONS for group in one.groups) for one in scenes]
    assert len(scenes) == 600
    assert 0.28 < sum(hard) / 600 < 0.44
    assert not any(scene.held_out for scene in scenes)


def test_latents_of_things_are_marked_and_those_of_the_sky_are_not() -> None:
    corpus = make_corpus(Encoder().eval(), 1, 5, "cpu")

    assert corpus.latents.shape == (1, 16, 21, 10, 16)
    assert corpus.things.shape == (1, 1, 21, 10, 16)
    marked = corpus.things.float()
    assert marked.amax((3, 4)).eq(1).all()
    assert 0.02 < marked.mean() < 0.4
    assert torch.equal(marked[..., 0, :], torch.zeros(1, 1, 21, 16))
