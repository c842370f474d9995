"""The linears of each precision. torch multiplies e4m3 on a CPU too, so what a GPU runs is tested here as well."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_common.errors import InvalidModel
from reelmill_worker.kernels.quantize import quantize_rows_reference
from reelmill_worker.pipeline.linears import (
    DenseLinear,
    DequantLinear,
    Int8Linear,
    Linear,
    RowFp8Linear,
    StoredLinear,
    TensorFp8Linear,
    load_linear,
    quantize_tensor,
)
from reelmill_worker.pipeline.plan import choose_plan, cpu_plan, gpu_facts

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
    stored = StoredLinear.read(tensors, "q", "cpu")
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


def test_the_released_weight_codes_and_scale_are_made_from_bfloat16(tensors: dict[str, Tensor]) -> None:
    weight = tensors["q.weight"]

    codes, scale = quantize_tensor(weight)

    assert scale.shape == ()
    assert float(scale) == float(weight.bfloat16().abs().max().float() / 448)
    assert codes.float().abs().max() <= 448


def test_a_scale_a_row_is_closer_than_one_for_all(tensors: dict[str, Tensor], x: Tensor) -> None:
    exact = F.linear(x, tensors["q.weight"])
    without_bias = tensors | {"q.bias": torch.zeros(N)}
    small = slice(0, N // 4)  # the rows of small weights

    row = multiply(fp8_linear(without_bias, "row"), x)
    whole = fp8_linear(without_bias, "tensor")(x.bfloat16(), torch.empty(0)).float()

    assert cosine(row[:, small], exact[:, small]) > cosine(whole[:, small], exact[:, small])
    assert cosine(row, exact) > 0.998


def stored_as(tensors: dict[str, Tensor], granularity: str) -> dict[str, Tensor]:
    """Return the file as an artifact of that granularity."""
    if granularity == "row":
        codes, scale = quantize_rows_reference(tensors["q.weight"], "e4m3")
        scale = scale.flatten()
    else:
        codes, scale = quantize_tensor(tensors["q.weight"])
    return {"q.weight": codes, "q.weight_scale": scale, "q.bias": tensors["q.bias"]}


@pytest.mark.parametrize("artifact", ["row", "tensor"])
@pytest.mark.parametrize("granularity", ["row", "tensor"])
def test_either_artifact_serves_either_plan(
    tensors: dict[str, Tensor], x: Tensor, artifact: str, granularity: str
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
