"""The transformer and the decoder on a GPU, at the real widths and fewer layers. Run on an H100 (docs/lab-notes.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor
from torch.nn import functional as F

from fixtures.codes import qat_codes
from reelmill_worker.pipeline.network import attention
from reelmill_worker.pipeline.network.linears import quantize_tensor
from reelmill_worker.pipeline.network.plan import RenderPlan, choose_plan, detect, this_gpu
from reelmill_worker.pipeline.network.tiny_decoder import TinyDecoder
from reelmill_worker.pipeline.network.transformer import WanTransformer

CONFIG: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
}
LATENTS = (1, 16, 5, 30, 52)
FLOATS: dict[str, Any] = {"linears": "bf16", "weight_scales": "none", "attention": "sdpa"}
WIDTHS = (256, 128, 64, 64)
"""Channels of taew2_1. The convolution library picks its algorithm by shape, so equal bits need the real shapes."""


@pytest.mark.parametrize("name", ["blocks.0.attn1.to_q", "blocks.0.ffn.net.0.proj", "blocks.0.ffn.net.2"])
def test_a_gpu_makes_the_weight_codes_of_fp8_qat_too(weights: dict[str, Tensor], name: str) -> None:
    weight = weights[f"{name}.weight"]

    codes, scale = quantize_tensor(weight.cuda())

    wanted, wanted_scale = qat_codes(weight)
    assert int((codes.view(torch.uint8).cpu().numpy() != wanted).sum()) == 0
    assert float(scale) == float(wanted_scale)


@pytest.fixture(scope="module")
def plan() -> RenderPlan:
    return replace(detect(), compile=False)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return WanTransformer3DModel(**CONFIG).state_dict()


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(LATENTS, generator=generator).cuda(), torch.randn((1, 512, 4096), generator=generator).cuda()


@pytest.fixture(scope="module")
def exact(weights: dict[str, Tensor], inputs: tuple[Tensor, Tensor]) -> Tensor:
    model = WanTransformer3DModel(**CONFIG).eval().cuda()
    model.load_state_dict(weights)
    with torch.no_grad():
        return model(inputs[0], torch.tensor([757.0], device="cuda"), inputs[1], return_dict=False)[0]


def run(plan: RenderPlan, weights: dict[str, Tensor], inputs: tuple[Tensor, Tensor]) -> Tensor:
    transformer = WanTransformer.load(CONFIG, weights, plan=plan)
    return transformer.velocity(inputs[0], 757.0, transformer.prepare_text(inputs[1]))


COMPILER_WARNS = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own import


@COMPILER_WARNS
@pytest.mark.parametrize(
    ("change", "cosine"),
    [
        pytest.param(FLOATS, 0.9999, id="bf16"),
        pytest.param({**FLOATS, "fused": False}, 0.9999, id="bf16 without kernels"),
        pytest.param({"linears": "fp8", "fp8": "row"}, 0.99, id="fp8"),
        pytest.param({"linears": "fp8", "fp8": "row", "weight_scales": "row"}, 0.99, id="fp8, weights by row"),
        pytest.param({"linears": "fp8", "fp8": "row", "fused": False}, 0.99, id="fp8 without kernels"),
        pytest.param({"linears": "fp8", "fp8": "row", "projected": False}, 0.99, id="fp8, Sage's wrapper"),
        pytest.param({"linears": "fp8", "fp8": "tensor"}, 0.99, id="fp8 as released"),
        pytest.param({"linears": "int8", "weight_scales": "none"}, 0.999, id="int8"),
        pytest.param({"linears": "fp8", "compile": True}, 0.99, id="fp8 compiled"),
    ],
)
def test_every_precision_stays_close_to_diffusers_in_float32(
    plan: RenderPlan,
    weights: dict[str, Tensor],
    inputs: tuple[Tensor, Tensor],
    exact: Tensor,
    change: dict[str, Any],
    cosine: float,
) -> None:
    got = run(replace(plan, **change), weights, inputs)

    assert float(F.cosine_similarity(got.float().flatten(), exact.flatten(), dim=0)) >= cosine


@COMPILER_WARNS
@pytest.mark.parametrize("compiled", [False, True])
def test_the_same_job_gives_the_same_bits(
    plan: RenderPlan, weights: dict[str, Tensor], inputs: tuple[Tensor, Tensor], compiled: bool
) -> None:
    once, again = (run(replace(plan, compile=compiled), weights, inputs) for _ in range(2))

    assert torch.equal(once, again)


def test_the_plan_chosen_here_has_a_kernel_that_passed_its_test(plan: RenderPlan) -> None:
    verdict = attention.probe(plan.attention, device="cuda")

    assert verdict.fit
    assert verdict.cosine >= 0.998


@pytest.mark.parametrize("kernel", [name for name in attention.KERNELS if name.startswith(("sage", "sdpa-"))])
def test_each_kernel_that_runs_here_is_right(kernel: str) -> None:
    verdict = attention.probe(kernel, device="cuda")
    if verdict.cosine == 0:
        pytest.skip(f"{kernel} does not run here: {verdict.error}")

    assert verdict.cosine >= 0.998


@pytest.mark.parametrize("kernel", attention.INNER)
def test_each_kernel_that_runs_here_is_right_on_operands_of_ours(kernel: str) -> None:
    verdict = attention.probe_projected(kernel, device="cuda")
    if verdict.cosine == 0:
        pytest.skip(f"{kernel} does not run here: {verdict.error}")

    assert verdict.cosine >= 0.998


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_step_reads_nothing_back_from_the_gpu(
    plan: RenderPlan, weights: dict[str, Tensor], inputs: tuple[Tensor, Tensor]
) -> None:
    transformer = WanTransformer.load(CONFIG, weights, plan=plan)
    text = transformer.prepare_text(inputs[1])
    transformer.velocity(inputs[0], 757.0, text)  # makes the tables

    torch.cuda.set_sync_debug_mode("error")
    try:
        got = transformer.velocity(inputs[0], 757.0, text)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert bool(got.isfinite().all())


@COMPILER_WARNS
@pytest.mark.parametrize("compiled", [False, True])
def test_chunks_of_the_decoder_give_the_bits_of_all_frames_at_once(plan: RenderPlan, compiled: bool) -> None:
    tensors, latents = decoder_weights(), torch.randn((1, 16, 21, 60, 104)).cuda()
    whole = TinyDecoder.load(tensors, plan=replace(plan, decode_chunk=21)).decode(latents)

    pieces = TinyDecoder.load(tensors, plan=replace(plan, decode_chunk=3, compile=compiled)).decode(latents)

    assert pieces.shape == (81, 480, 832, 3)
    assert torch.equal(pieces, whole)


def test_a_card_that_is_not_here_is_planned_for_without_it() -> None:
    here = this_gpu()

    assert here is not None
    assert choose_plan(replace(here, capability=(8, 6), name="RTX 3090", memory_gb=24)).linears == "int8"


def decoder_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b, c, d = WIDTHS
    shapes = {"decoder.1": (a, 16, 3), "decoder.22": (3, d, 3)}
    for start, width in ((3, a), (9, b), (15, c)):
        for place in range(start, start + 3):
            shapes |= {f"decoder.{place}.conv.0": (width, 2 * width, 3)}
            shapes |= {f"decoder.{place}.conv.{step}": (width, width, 3) for step in (2, 4)}
    shapes |= {"decoder.7.conv": (a, a, 1), "decoder.13.conv": (2 * b, b, 1), "decoder.19.conv": (2 * c, c, 1)}
    shapes |= {"decoder.8": (b, a, 3), "decoder.14": (c, b, 3), "decoder.20": (d, c, 3)}
    tensors: dict[str, Tensor] = {}
    for name, (out, into, size) in shapes.items():
        spread = (into * size * size) ** -0.5
        tensors[f"{name}.weight"] = spread * torch.randn((out, into, size, size), generator=generator)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return tensors
