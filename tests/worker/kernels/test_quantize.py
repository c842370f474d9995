from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fixtures.codes import assert_same_codes
from reelmill_worker.kernels import quantize
from reelmill_worker.kernels.quantize import Target

SHAPES = [(4, 1536), (3, 8960), (5, 64), (2, 100), (1, 3)]


@pytest.mark.parametrize(("target", "error"), [("e4m3", 2**-4), ("int8", 0.5 / 127)])
def test_codes_times_scales_are_the_input_again(target: Target, error: float) -> None:
    x = torch.randn(7, 96)

    codes, scale = quantize.quantize_rows_reference(x, target)

    # e4m3 has 3 bits of fraction, so half a step is a 16th of the value; int8 has half a step of the largest.
    limit = x.abs() * error + scale if target == "e4m3" else x.abs().amax(1, keepdim=True) * error * 1.01
    assert bool(((codes.float() * scale - x).abs() <= limit).all())


@pytest.mark.parametrize("target", ["e4m3", "int8"])
def test_a_row_of_zeros_stays_zeros(target: Target) -> None:
    codes, scale = quantize.quantize_rows_reference(torch.zeros(2, 8), target)

    assert bool((codes.float() == 0).all())
    assert bool((scale > 0).all())


def test_without_a_target_values_pass_through() -> None:
    x = torch.randn(2, 8)

    values, scale = quantize.quantize_rows_reference(x, "none")

    assert values is x
    assert scale.numel() == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("target", ["e4m3", "int8"])
def test_the_kernel_quantizes_rows_as_its_twin_does(
    triton: None,
    only_rounding_that_the_interpreter_has: None,
    device: str,
    dtype: torch.dtype,
    shape: tuple[int, int],
    target: Target,
) -> None:
    x = (3 * torch.randn(shape)).to(device, dtype)
    want, want_scale = quantize.quantize_rows_reference(x, target)

    codes, scale = quantize.quantize_rows(x, target)

    torch.testing.assert_close(scale, want_scale, rtol=1e-6, atol=0)
    assert_same_codes(codes, want)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # by the interpreter: 1 / inf is the 0 that is wanted
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("target", ["none", "e4m3", "int8"])
def test_the_kernel_applies_gelu_as_its_twin_does(
    triton: None,
    only_rounding_that_the_interpreter_has: None,
    device: str,
    dtype: torch.dtype,
    shape: tuple[int, int],
    target: Target,
) -> None:
    x = (3 * torch.randn(shape)).to(device, dtype)
    want, want_scale = quantize.gelu_quantize_reference(x, target)

    values, scale = quantize.gelu_quantize(x, target)

    if target == "none":
        torch.testing.assert_close(values, want, rtol=1e-2, atol=1e-6)  # one rounding of bfloat16
    else:
        torch.testing.assert_close(scale, want_scale, rtol=1e-5, atol=0)
        assert_same_codes(values, want)


def test_gelu_is_the_tanh_form() -> None:
    x = torch.randn(3, 64)

    values, _ = quantize.gelu_quantize_reference(x, "none")

    torch.testing.assert_close(values, F.gelu(x, approximate="tanh"))


def test_the_kernel_refuses_what_is_not_contiguous_rows() -> None:
    with pytest.raises(ValueError, match="wanted contiguous rows"):
        quantize.check_rows(torch.zeros(4, 8)[:, ::2])
