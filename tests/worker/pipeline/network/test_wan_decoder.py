"""The decoder against diffusers' own `decode` on the same random weights."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.network.plan import cpu_plan
from reelmill_worker.pipeline.network.wan_decoder import WanDecoder, to_uint8

PLAN = cpu_plan()


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()


@pytest.fixture(scope="module")
def latents() -> Tensor:
    return torch.randn((1, 16, 4, 4, 6), generator=torch.Generator().manual_seed(1))


def load(vae: AutoencoderKLWan) -> WanDecoder:
    return WanDecoder.load(vae.config, vae.state_dict(), plan=PLAN)


def test_it_gives_the_frames_of_the_pipeline_of_diffusers(vae: AutoencoderKLWan, latents: Tensor) -> None:
    mean, std = (torch.tensor(x).view(1, 16, 1, 1, 1) for x in (vae.config.latents_mean, vae.config.latents_std))
    with torch.no_grad():
        want = vae.decode(latents * std + mean, return_dict=False)[0]

    frames = load(vae).decode(latents)

    assert frames.shape == (13, 32, 48, 3)
    assert torch.equal(frames, to_uint8(want[0]))


def test_frames_come_as_they_are_decoded(vae: AutoencoderKLWan, latents: Tensor) -> None:
    chunks = list(load(vae).decode_chunks(latents))

    assert [chunk.shape[0] for chunk in chunks] == [1, 4, 4, 4]


def test_two_clips_at_once_do_not_mix(vae: AutoencoderKLWan, latents: Tensor) -> None:
    decoder = load(vae)
    want, other = decoder.decode(latents), decoder.decode(-latents)

    pairs = list(zip(decoder.decode_chunks(latents), decoder.decode_chunks(-latents), strict=True))

    assert torch.equal(torch.cat([one for one, _ in pairs]), want)
    assert torch.equal(torch.cat([two for _, two in pairs]), other)


def test_it_loads_without_the_encoder_that_it_does_not_need(vae: AutoencoderKLWan, latents: Tensor) -> None:
    half = {name: tensor for name, tensor in vae.state_dict().items() if not name.startswith(("encoder", "quant"))}

    frames = WanDecoder.load(vae.config, half, plan=PLAN).decode(latents)

    assert torch.equal(frames, load(vae).decode(latents))


def test_a_missing_tensor_is_named(vae: AutoencoderKLWan) -> None:
    tensors = dict(vae.state_dict())
    del tensors["post_quant_conv.bias"]

    with pytest.raises(InvalidModel, match=r"post_quant_conv\.bias"):
        WanDecoder.load(vae.config, tensors, plan=PLAN)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(vae: AutoencoderKLWan) -> None:
    tensors = vae.state_dict() | {"post_quant_conv.bias": torch.zeros(17)}

    with pytest.raises(InvalidModel, match=r"post_quant_conv\.bias has shape \(17,\); its config\.json wants \(16,\)"):
        WanDecoder.load(vae.config, tensors, plan=PLAN)
