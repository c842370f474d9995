"""The forward pass against diffusers' own class on the same random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.network.linears import quantize_tensor
from reelmill_worker.pipeline.network.plan import RenderPlan, cpu_plan
from reelmill_worker.pipeline.network.transformer import WanTransformer

CONFIG: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 3,
    "attention_head_dim": 32,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 48,
    "freq_dim": 64,
    "ffn_dim": 160,
    "num_layers": 3,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
}
FLOAT_PLAN = cpu_plan(linears="float32")
LARGE = ("attn1.to_", "attn2.to_", "ffn.net")


@pytest.fixture(scope="module")
def theirs() -> WanTransformer3DModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WanTransformer3DModel(**CONFIG).eval()
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data += 0.3 * torch.randn_like(parameter)  # fresh norms are all ones, which hides mistakes
    return model


@pytest.fixture
def latents() -> Tensor:
    return torch.randn((1, 16, 3, 8, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def embedding() -> Tensor:
    return torch.randn((1, 512, 48), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def reference(model: WanTransformer3DModel, latents: Tensor, timestep: float, embedding: Tensor) -> Tensor:
    return model(latents, torch.tensor([timestep]), embedding, return_dict=False)[0]


def ours(model: WanTransformer3DModel, plan: RenderPlan = FLOAT_PLAN) -> WanTransformer:
    return WanTransformer.load(CONFIG, model.state_dict(), plan=plan)


@pytest.mark.parametrize("timestep", [1000.0, 757.0, 522.0, 0.0])
def test_it_computes_what_diffusers_computes(
    theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor, timestep: float
) -> None:
    want = reference(theirs, latents, timestep, embedding)
    transformer = ours(theirs)

    got = transformer.velocity(latents, timestep, transformer.prepare_text(embedding))

    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_three_steps_in_a_row_stay_as_close(theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor) -> None:
    transformer = ours(theirs)
    text = transformer.prepare_text(embedding)
    got = want = latents

    for timestep in (1000.0, 757.0, 522.0):
        want = want - 0.3 * reference(theirs, want, timestep, embedding)
        got = got - 0.3 * transformer.velocity(got, timestep, text)

    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_other_sizes_on_one_loaded_model_do_not_mix(theirs: WanTransformer3DModel, embedding: Tensor) -> None:
    transformer = ours(theirs)
    text = transformer.prepare_text(embedding)

    for shape in [(1, 16, 3, 8, 12), (1, 16, 3, 12, 8), (1, 16, 1, 2, 2), (1, 16, 3, 8, 12)]:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
        want = reference(theirs, x, 757.0, embedding)
        torch.testing.assert_close(transformer.velocity(x, 757.0, text), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("granularity", ["row", "tensor"])
def test_stored_e4m3_weights_give_what_their_dequantised_floats_give(
    theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor, granularity: str
) -> None:
    stored, floats = quantized(theirs, granularity)
    clone = WanTransformer3DModel(**CONFIG).eval()
    clone.load_state_dict(floats)
    want = reference(clone, latents, 522.0, embedding)
    transformer = WanTransformer.load(CONFIG, stored, plan=cpu_plan(linears="fp8"))

    got = transformer.velocity(latents, 522.0, transformer.prepare_text(embedding))

    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def quantized(model: WanTransformer3DModel, granularity: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the file as stored in e4m3, and the floats that it stands for."""
    stored, floats = dict(model.state_dict()), dict(model.state_dict())
    for name in list(stored):
        if not (name.endswith(".weight") and any(part in name for part in LARGE)):
            continue
        weight = stored[name]
        if granularity == "tensor":
            codes, scale = quantize_tensor(weight)
        else:
            scale = weight.abs().amax(1) / 448
            codes = (weight / scale[:, None]).to(torch.float8_e4m3fn)
        stored[name], stored[name.removesuffix(".weight") + ".weight_scale"] = codes, scale
        floats[name] = codes.float() * scale.reshape(-1, 1)
    return stored, floats


def test_floats_are_quantised_on_the_way_in_when_the_plan_says_so(
    theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor
) -> None:
    want = reference(theirs, latents, 757.0, embedding)
    transformer = ours(theirs, cpu_plan(linears="fp8"))

    got = transformer.velocity(latents, 757.0, transformer.prepare_text(embedding))

    assert not torch.allclose(got, want, atol=1e-4)
    assert torch.nn.functional.cosine_similarity(got.flatten(), want.flatten(), dim=0) > 0.99


def test_int8_linears_stay_close(theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor) -> None:
    want = reference(theirs, latents, 757.0, embedding)
    transformer = ours(theirs, cpu_plan(linears="int8"))

    got = transformer.velocity(latents, 757.0, transformer.prepare_text(embedding))

    assert torch.nn.functional.cosine_similarity(got.flatten(), want.flatten(), dim=0) > 0.999


def test_all_layers_share_one_compiled_graph(
    theirs: WanTransformer3DModel, latents: Tensor, embedding: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CompileCounter()
    compile_with = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda run, *, options=None, **rest: compile_with(run, backend=counter, **rest)
    )
    compiling = RenderPlan(device="cpu", gpu="cpu", dtype="float32", linears="fp8", compile=True)
    transformer = ours(theirs, compiling)
    plain = ours(theirs, cpu_plan(linears="fp8"))
    text = transformer.prepare_text(embedding)

    got = [transformer.velocity(latents, timestep, text) for timestep in (1000.0, 757.0, 522.0)]

    assert counter.frame_count == 1
    torch.testing.assert_close(got[2], plain.velocity(latents, 522.0, text))


def test_a_missing_tensor_is_named(theirs: WanTransformer3DModel) -> None:
    tensors = dict(theirs.state_dict())
    del tensors["blocks.1.attn2.to_k.bias"]

    with pytest.raises(InvalidModel, match=r"no tensor 'blocks\.1\.attn2\.to_k\.bias'"):
        WanTransformer.load(CONFIG, tensors, plan=FLOAT_PLAN)


def test_codes_without_scales_are_refused(theirs: WanTransformer3DModel) -> None:
    stored, _ = quantized(theirs, "row")
    del stored["blocks.0.ffn.net.2.weight_scale"]

    with pytest.raises(InvalidModel, match=r"blocks\.0\.ffn\.net\.2\.weight_scale"):
        WanTransformer.load(CONFIG, stored, plan=cpu_plan())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_dim": 1280}, "image_dim=1280"),
        ({"qk_norm": None}, "qk_norm=None"),
        ({"ffn_dim": None}, "has no 'ffn_dim'"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    theirs: WanTransformer3DModel, changed: dict[str, Any], message: str
) -> None:
    config = CONFIG | changed
    if changed.get("ffn_dim", 0) is None:
        del config["ffn_dim"]

    with pytest.raises(InvalidModel, match=message):
        WanTransformer.load(config, theirs.state_dict(), plan=FLOAT_PLAN)


def test_latents_that_do_not_fit_the_patches_are_refused(theirs: WanTransformer3DModel, embedding: Tensor) -> None:
    transformer = ours(theirs)

    with pytest.raises(ValueError, match=r"do not fit: wanted 16 channels and \(t, h, w\) in multiples of \(1, 2, 2\)"):
        transformer.velocity(torch.zeros(1, 16, 3, 7, 12), 757.0, transformer.prepare_text(embedding))
