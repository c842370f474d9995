from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fixtures.codes import assert_same_codes
from reelmill_worker.kernels.norm import residual_norm, residual_norm_reference
from reelmill_worker.kernels.quantize import Target

EPS = 1e-6


def inputs(m: int, k: int, device: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    x, branch = (torch.randn(m, k) for _ in range(2))
    gate, shift = (torch.randn(k) for _ in range(2))
    vectors = (gate, 1 + 0.3 * torch.randn(k), shift)
    return (x.to(device, dtype), branch.to(device, dtype), *(vector.to(device) for vector in vectors))


def test_it_is_a_gated_residual_and_a_modulated_layer_norm() -> None:
    x, branch, gate, weight, bias = inputs(5, 24, "cpu", torch.float64)
    total = x + branch * gate
    centred = total - total.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + EPS).sqrt()

    got_total, values, _ = residual_norm_reference(x, branch, gate, weight, bias, EPS, "none")

    torch.testing.assert_close(got_total, total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values, normed * weight + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 1536), (5, 64), (3, 100), (1, 258)])
@pytest.mark.parametrize("target", ["none", "e4m3", "int8"])
def test_the_kernel_computes_what_its_twin_does(
    triton: None,
    only_rounding_that_the_interpreter_has: None,
    device: str,
    dtype: torch.dtype,
    shape: tuple[int, int],
    target: Target,
) -> None:
    tensors = inputs(*shape, device, dtype)
    want_total, want, want_scale = residual_norm_reference(*tensors, EPS, target)

    total, values, scale = residual_norm(*tensors, EPS, target)

    torch.testing.assert_close(total, want_total, rtol=1e-2, atol=1e-6)  # a fused multiply-add rounds once, not twice
    if target == "none":
        torch.testing.assert_close(values, want, rtol=1e-2, atol=1e-2)  # bfloat16 holds 8 bits
    else:
        torch.testing.assert_close(scale, want_scale, rtol=1e-5, atol=0)
        assert_same_codes(values, want)


def test_vectors_of_another_length_are_refused() -> None:
    x, branch, gate, weight, _ = inputs(2, 8, "cpu", torch.float32)

    with pytest.raises(ValueError, match=r"three vectors \(k,\)"):
        residual_norm(x, branch, gate, weight, torch.zeros(9), EPS, "none")


def test_what_is_declared_to_the_compiler_is_what_comes_out(triton: None, device: str) -> None:
    tensors = inputs(3, 64, device, torch.float32)

    torch.library.opcheck(torch.ops.reelmill.residual_norm.default, (*tensors, EPS, "int8"))
