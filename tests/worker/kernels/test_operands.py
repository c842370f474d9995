from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reelmill_worker.kernels.operand_codes import GRAINS, attention_operands_reference
from reelmill_worker.kernels.operands import attention_operands
from reelmill_worker.kernels.rotary import qk_norm_rope_reference

EPS = 1e-6


def inputs(tokens: int, heads: int, channels: int, device: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(tokens)
    k = heads * channels
    qkv = torch.randn((tokens, 3 * k), generator=generator).to(device, dtype)
    angles = 6 * torch.rand((tokens, channels // 2), generator=generator)
    weights = 1 + 0.3 * torch.randn((2, k), generator=generator)
    return (qkv, *(x.to(device) for x in (weights, angles.cos(), angles.sin())))


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize(("tokens", "heads", "channels"), [(130, 2, 64), (64, 3, 128), (257, 1, 64)])
def test_the_kernels_make_the_codes_that_their_twin_makes(
    triton: None, device: str, dtype: torch.dtype, grain: str, tokens: int, heads: int, channels: int
) -> None:
    tensors = inputs(tokens, heads, channels, device, dtype)
    want = attention_operands_reference(*tensors, EPS, grain)

    got = attention_operands(*tensors, EPS, grain)

    assert [x.shape for x in got] == [x.shape for x in want]
    for codes, wanted in ((got[0], want[0]), (got[2], want[2])):
        off = (codes.int() - wanted.int()).abs()
        assert int(off.max()) <= 1
        assert float(off.float().mean()) < 0.01  # a value between two codes may go either way
    for scales, wanted in ((got[1], want[1]), (got[3], want[3]), (got[5], want[5])):
        torch.testing.assert_close(scales, wanted, rtol=1e-4, atol=1e-7)
    close = torch.isclose(got[4].float(), want[4].float(), rtol=0.13, atol=0.02)  # e4m3 has 3 bits after the first
    assert float(close.float().mean()) > (0.97 if device == "cpu" else 0.9999)  # the interpreter drops carries


@pytest.mark.parametrize("grain", GRAINS)
def test_codes_times_scales_are_the_queries_the_keys_without_their_mean_and_the_values(grain: str) -> None:
    tensors = inputs(150, 2, 64, "cpu", torch.float32)
    kind = GRAINS[grain]
    queries, keys = (x.unflatten(1, (2, 64)) for x in qk_norm_rope_reference(*tensors, EPS))
    values = tensors[0][:, 256:].unflatten(1, (2, 64))

    q, q_scale, k, k_scale, v, v_scale = attention_operands_reference(*tensors, EPS, grain)

    row = torch.arange(150)
    of_query = q_scale.t()[row // kind.query_warp * 8 + row % 8]  # (l, n): lane 0 to 7 of each warp
    torch.testing.assert_close(q * of_query[:, :, None], queries, rtol=0, atol=0.03)
    of_key = k_scale.t()[row // kind.key_block * 4 + row % 8 // 2]
    torch.testing.assert_close(k * of_key[:, :, None], keys - keys.mean(dim=0), rtol=0, atol=0.03)
    if not kind.value_peak:
        assert torch.equal(v, values)
        return
    assert v.shape == (64, 2, -(-150 // kind.value_block) * kind.value_block)
    order = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]  # SageAttention d1a57a5, quant.py
    back = v.float().unflatten(2, (-1, 16))[..., torch.tensor(order).argsort()].flatten(2)
    torch.testing.assert_close((back[:, :, :150].permute(2, 1, 0) * v_scale), values, rtol=0.07, atol=0.01)
    assert not bool(back[:, :, 150:].any())


def test_heads_that_no_kernel_of_sageattention_takes_are_refused(device: str, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"wanted heads of \(64, 128\) channels, got 32 channels in heads of 16"):
        attention_operands(*inputs(4, 2, 16, device, dtype), EPS, "sm90")
