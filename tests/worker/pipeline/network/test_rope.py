from __future__ import annotations

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

from reelmill_worker.pipeline.network.rope import axis_channels, rope_tables


@pytest.mark.parametrize(("head_dim", "split"), [(128, (44, 42, 42)), (64, (24, 20, 20)), (32, (12, 10, 10))])
def test_a_head_is_split_over_time_height_and_width(head_dim: int, split: tuple[int, int, int]) -> None:
    assert axis_channels(head_dim) == split


@pytest.mark.parametrize("grid", [(21, 30, 52), (3, 5, 7), (1, 1, 1)])
def test_the_tables_equal_those_of_diffusers(grid: tuple[int, int, int]) -> None:
    t, h, w = grid
    theirs = WanRotaryPosEmbed(128, (1, 2, 2), 1024)
    want_cosine, want_sine = theirs(torch.empty(1, 16, t, 2 * h, 2 * w))

    cosine, sine = rope_tables(grid, 128, "cpu")

    torch.testing.assert_close(cosine, want_cosine[0, :, 0, 0::2], rtol=0, atol=1e-6)
    torch.testing.assert_close(sine, want_sine[0, :, 0, 1::2], rtol=0, atol=1e-6)


def test_the_first_token_is_not_turned() -> None:
    cosine, sine = rope_tables((2, 2, 2), 128, "cpu")

    assert bool((cosine[0] == 1).all())
    assert bool((sine[0] == 0).all())
