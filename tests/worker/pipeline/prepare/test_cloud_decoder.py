"""The weights that turn any latents into clouds."""

from __future__ import annotations

import torch

from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder
from reelmill_worker.pipeline.prepare.cloud_decoder import cloud_decoder


def decoder(widths: tuple[int, ...], seed: int) -> dict[str, torch.Tensor]:
    return cloud_decoder(widths, torch.Generator().manual_seed(seed))


def test_latents_that_stand_still_become_soft_pictures_that_move() -> None:
    still = torch.randn((1, 16, 1, 8, 8), generator=torch.Generator().manual_seed(3)).expand(-1, -1, 6, -1, -1)

    frames = TinyDecoder.load(decoder((32, 16, 8, 8), 1), plan=cpu_plan()).decode(still.contiguous()).float()

    neighbours = (frames[:, 1:] - frames[:, :-1]).abs().mean()  # (f, h, w, 3)
    assert frames.std() > 20
    assert neighbours < 0.08 * frames.std()  # 0.05; without the blur 0.11, as static has more
    assert (frames[-3:] - frames[-4:-1]).abs().mean() > 5  # 15; without the turn within a latent 0.3


def test_one_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (decoder((8, 8, 8, 8), seed) for seed in (1, 1, 2))

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.1.weight"], other["decoder.1.weight"])
