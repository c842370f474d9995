from __future__ import annotations

import pytest
import torch

from fixtures.codes import projection
from reelmill_worker.kernels.rotary import (
    qk_norm_rope,
    qk_norm_rope_reference,
    rms_norm,
    rms_norm_reference,
)

EPS = 1e-6


def test_pairs_turn_as_complex_numbers_after_a_norm_over_all_heads() -> None:
    qkv, weights, cosine, sine = projection(5, 2, 8, "cpu", torch.float32)
    keys = qkv[:, 16:32]
    normed = torch.nn.functional.rms_norm(keys, (16,), weights[1], EPS)
    turned = torch.view_as_complex(normed.view(5, 2, 4, 2)) * torch.complex(cosine, sine)[:, None]

    _, got = qk_norm_rope_reference(qkv, weights, cosine, sine, EPS)

    torch.testing.assert_close(got, torch.view_as_real(turned).reshape(5, 16))


@pytest.mark.parametrize(("tokens", "heads", "channels"), [(3, 12, 128), (5, 2, 128), (4, 3, 32), (2, 1, 6)])
def test_the_kernel_norms_and_turns_as_its_twin_does(
    triton: None, device: str, dtype: torch.dtype, tokens: int, heads: int, channels: int
) -> None:
    tensors = projection(tokens, heads, channels, device, dtype)
    want = qk_norm_rope_reference(*tensors, EPS)

    got = qk_norm_rope(*tensors, EPS)

    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)  # bfloat16 holds 8 bits


@pytest.mark.parametrize("columns", [1536, 64, 100])
def test_the_kernel_norms_without_turning_as_its_twin_does(
    triton: None, device: str, dtype: torch.dtype, columns: int
) -> None:
    x = torch.randn(3, 5 * columns).to(device, dtype)
    weights = torch.randn(2, columns).to(device)

    got = rms_norm(x, weights, EPS)

    assert got.shape == (2, 3, columns)
    torch.testing.assert_close(got, rms_norm_reference(x, weights, EPS), rtol=1e-2, atol=1e-2)


def test_each_part_of_a_row_is_normed_by_its_own_weight() -> None:
    x, weights = torch.randn(5, 50), torch.randn(3, 16)

    got = rms_norm_reference(x, weights, EPS)

    for part in range(3):
        want = torch.nn.functional.rms_norm(x[:, 16 * part : 16 * part + 16], (16,), weights[part], EPS)
        torch.testing.assert_close(got[part], want)


def test_a_projection_that_is_too_narrow_is_refused(device: str) -> None:
    qkv, weights, cosine, sine = projection(2, 2, 8, device, torch.bfloat16)

    with pytest.raises(ValueError, match="wanted rows of 2 x 16 columns"):
        qk_norm_rope(qkv[:, :20], weights, cosine, sine, EPS)
