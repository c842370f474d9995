"""The linears of each precision. torch multiplies e4m3 on a CPU too, so what a GPU runs is tested here as well."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fixtures.codes import qat_codes
from reelmill_common.errors import InvalidModel
from reelmill_worker.kernels.quantize import quantize_rows_reference
from reelmill_worker.pipeline.checkpoint.layout import WeightScales
from reelmill_worker.pipeline.network.linears import (
    DenseLinear,
    DequantLinear,
    Int8Linear,
    Linear,
    RowFp8Linear,
    StoredLinear,
    TensorFp8Linear,
    load_linear,
    quantize_tensor,
    quantize_weight,
)
from reelmill_worker.pipeline.network.plan import choose_plan, cpu_plan, gpu_facts

K, N, ROWS = 64, 48, 40


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    # Rows of very different size, as trained weights have: one scale for all of them costs accuracy.
    spread = torch.logspace(-2, 0, N).unsqueeze(1) / K**0.5
    return {
        **{f"{name}.weight": spread * torch.randn((N, K), generator=generator) for name in ("q", "k", "v")},
        **{f"{name}.bias": torch.randn(N, generator=generator) for name in ("q", "k", "v")},
    }


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn((ROWS, K), generator=torch.Generator().manual_seed(1))


def multiply(linear: Linear, x: Tensor) -> Tensor:
    return linear(*quantize_rows_reference(x, linear.target)).float()


def cosine(one: Tensor, other: Tensor) -> float:
    return float(F.cosine_similarity(one.flatten(), other.flatten(), dim=0))


@pytest.mark.parametrize(("linears", "kind"), [("float32", DenseLinear), ("fp8", DequantLinear), ("int8", Int8Linear)])
def test_a_fused_projection_gives_its_parts_outputs_side_by_side(
    tensors: dict[str, Tensor], x: Tensor, linears: str, kind: type
) -> None:
    plan = cpu_plan(linears=linears)
    parts = [load_linear(tensors, [name], plan) for name in ("q", "k", "v")]

    fused = load_linear(tensors, ["q", "k", "v"], plan)

    assert isinstance(fused, kind)
    torch.testing.assert_close(multiply(fused, x), torch.cat([multiply(part, x) for part in parts], dim=1))


def fp8_linear(tensors: dict[str, Tensor], granularity: str) -> Linear:
    stored = StoredLinear.read(tensors, "q", "cpu").rounded("row" if granularity == "row" else "tensor")
    bias = stored.bias.bfloat16()
    if granularity == "row":
        return RowFp8Linear(*stored.by_row(), bias)
    return TensorFp8Linear((stored.by_tensor(),), bias)


def test_fp8_by_row_multiplies_what_the_codes_stand_for(tensors: dict[str, Tensor], x: Tensor) -> None:
    codes, scale = quantize_rows_reference(tensors["q.weight"], "e4m3")
    x_codes, x_scale = quantize_rows_reference(x, "e4m3")
    want = F.linear(x_codes.float() * x_scale, codes.float() * scale, tensors["q.bias"])

    got = multiply(fp8_linear(tensors, "row"), x)

    torch.testing.assert_close(got, want, rtol=2e-2, atol=2e-2)  # the output has the 8 bits of bfloat16


def test_fp8_as_released_keeps_its_quirk(tensors: dict[str, Tensor], x: Tensor) -> None:
    def codes_and_scale(values: Tensor) -> tuple[Tensor, Tensor]:
        """Divide by the scale rounded to bfloat16, and keep the one that is not rounded: FastVideo's fp8_config.py."""
        values = values.bfloat16()
        scale = values.abs().max().float() / 448
        return (values / scale.bfloat16()).clamp(-448, 448).to(torch.float8_e4m3fn), scale

    w_codes, w_scale = codes_and_scale(tensors["q.weight"])
    x_codes, x_scale = codes_and_scale(x)
    product = (x_codes.float() @ w_codes.float().t() * x_scale * w_scale).bfloat16()
    want = (product + tensors["q.bias"].bfloat16()).float()

    got = fp8_linear(tensors, "tensor")(x.bfloat16(), torch.empty(0)).float()

    torch.testing.assert_close(got, want, rtol=1e-2, atol=1e-2)


def heavy(shape: tuple[int, int]) -> Tensor:
    """Weights as training leaves them: rows and channels of different size, and a few far from the rest."""
    generator = torch.Generator().manual_seed(shape[0] + shape[1])
    weight = torch.randn(shape, generator=generator) * torch.logspace(-1, 0, shape[0]).unsqueeze(1) / shape[1] ** 0.5
    outside = torch.rand(shape, generator=generator) < 1e-5
    return torch.where(outside, 12 * weight, weight)


@pytest.mark.parametrize(
    "weight",
    [
        pytest.param(heavy((1536, 1536)), id="attention"),
        pytest.param(heavy((8960, 1536)), id="feed-forward, up", marks=pytest.mark.slow),
        pytest.param(heavy((1536, 8960)), id="feed-forward, down", marks=pytest.mark.slow),
        pytest.param(heavy((256, 128)).bfloat16(), id="stored in bfloat16"),
        pytest.param(heavy((256, 128)).half(), id="stored in float16"),
        pytest.param(1e-7 * heavy((256, 128)), id="smaller than the least scale"),
        pytest.param(torch.zeros(256, 128), id="zeros"),
    ],
)
def test_no_weight_code_differs_from_the_rule_of_fp8_qat(weight: Tensor) -> None:
    codes, scale = quantize_tensor(weight)

    wanted, wanted_scale = qat_codes(weight)
    assert int((codes.view(torch.uint8).numpy() != wanted).sum()) == 0
    assert (scale.shape, float(scale)) == ((), float(wanted_scale))


@pytest.mark.parametrize("linears", ["fp8", "int8", "bf16"])
def test_each_weight_of_a_fused_projection_is_rounded_by_itself(tensors: dict[str, Tensor], linears: str) -> None:
    apart = {name: 10.0**place * tensors[f"{name}.weight"] for place, name in enumerate(("q", "k", "v"))}
    scaled = tensors | {f"{name}.weight": weight for name, weight in apart.items()}
    plan = cpu_plan(linears=linears)
    want = torch.cat([codes.float() * scale for codes, scale in map(quantize_tensor, apart.values())])

    fused = load_linear(scaled, ["q", "k", "v"], plan)

    weight = fused.weight.float() * getattr(fused, "scale", torch.ones(()))
    close = 0.0 if linears == "fp8" else 0.005  # of the row's largest: half a step of int8, or 8 bits of bfloat16
    assert ((weight - want).abs() <= close * want.abs().amax(1, keepdim=True)).all()


@pytest.mark.parametrize("linears", ["fp8", "int8", "bf16"])
@pytest.mark.parametrize("scales", ["tensor", "row"])
def test_floats_are_multiplied_as_the_artifact_that_they_would_become(
    tensors: dict[str, Tensor], x: Tensor, linears: str, scales: WeightScales
) -> None:
    plan = replace(cpu_plan(linears=linears), weight_scales=scales)

    from_floats, from_codes = (
        multiply(load_linear(file, ["q"], plan), x) for file in (tensors, stored_as(tensors, scales))
    )

    assert torch.equal(from_floats, from_codes)


def test_int8_is_closest_to_what_was_trained_with_a_scale_a_row_of_its_codes() -> None:
    weight = heavy((1536, 1536))
    codes, scale = quantize_tensor(weight)
    trained = codes.float() * scale

    def off(floats: Tensor, dim: int | None) -> float:
        peak = floats.abs().amax(dim, keepdim=True) if dim else floats.abs().amax()
        step = peak / 127
        return float((torch.floor(floats / step + 0.5) * step - trained).norm() / trained.norm())

    rows_of_codes, tensor_of_codes, rows_of_floats = off(trained, 1), off(trained, None), off(weight, 1)
    assert rows_of_codes < 0.5 * rows_of_floats
    assert rows_of_codes < 0.5 * tensor_of_codes


def test_fp8_without_codes_is_a_mistake_of_the_plan(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="wanted weights in e4m3, got floats"):
        load_linear(tensors, ["q"], replace(cpu_plan(), weight_scales="none"))


def test_a_scale_a_row_is_closer_than_one_for_all(tensors: dict[str, Tensor], x: Tensor) -> None:
    exact = F.linear(x, tensors["q.weight"])
    without_bias = tensors | {"q.bias": torch.zeros(N)}
    small = slice(0, N // 4)  # the rows of small weights

    row = multiply(fp8_linear(without_bias, "row"), x)
    whole = fp8_linear(without_bias, "tensor")(x.bfloat16(), torch.empty(0)).float()

    assert cosine(row[:, small], exact[:, small]) > cosine(whole[:, small], exact[:, small])
    assert cosine(row, exact) > 0.998


def stored_as(tensors: dict[str, Tensor], granularity: WeightScales) -> dict[str, Tensor]:
    """Return the file as an artifact of that granularity."""
    codes, scale = quantize_weight(tensors["q.weight"], granularity)
    return {"q.weight": codes, "q.weight_scale": scale, "q.bias": tensors["q.bias"]}


@pytest.mark.parametrize("artifact", ["row", "tensor"])
@pytest.mark.parametrize("granularity", ["row", "tensor"])
def test_either_artifact_serves_either_plan(
    tensors: dict[str, Tensor], x: Tensor, artifact: WeightScales, granularity: str
) -> None:
    stored = stored_as(tensors, artifact)
    want = F.linear(x, StoredLinear.read(stored, "q", "cpu").floats(), tensors["q.bias"])

    linear = fp8_linear(stored, granularity)

    values = x if linear.target == "e4m3" else x.bfloat16()
    assert cosine(multiply(linear, values), want) > 0.998


@pytest.mark.parametrize("linears", ["int8", "bf16", "float32"])
def test_an_artifact_in_e4m3_serves_plans_without_fp8(tensors: dict[str, Tensor], x: Tensor, linears: str) -> None:
    stored = stored_as(tensors, "row")
    want = F.linear(x, StoredLinear.read(stored, "q", "cpu").floats(), tensors["q.bias"])

    got = multiply(load_linear(stored, ["q"], cpu_plan(linears=linears)), x)

    assert cosine(got, want) > 0.9999


@pytest.mark.parametrize(("fp8", "kind"), [("row", RowFp8Linear), ("tensor", TensorFp8Linear)])
def test_a_gpu_gets_the_linear_that_its_plan_names(tensors: dict[str, Tensor], fp8: str, kind: type) -> None:
    plan = replace(choose_plan(gpu_facts("H100")), fp8=fp8, device="meta")  # a device that is always there

    assert isinstance(load_linear(tensors, ["q"], plan), kind)


def test_scales_of_another_number_than_rows_are_refused(tensors: dict[str, Tensor]) -> None:
    stored = stored_as(tensors, "row") | {"q.weight_scale": torch.ones(N - 1)}

    with pytest.raises(InvalidModel, match=r"q\.weight_scale has shape \(47,\).*each of the 48 rows"):
        load_linear(stored, ["q"], cpu_plan())
