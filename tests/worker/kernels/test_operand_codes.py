from __future__ import annotations

import pytest
import torch

from fixtures.codes import projection
from reelmill_worker.kernels.operand_codes import GRAINS, attention_operands_reference
from reelmill_worker.kernels.rotary import qk_norm_rope_reference

EPS = 1e-6


@pytest.mark.parametrize("grain", GRAINS)
def test_codes_times_scales_are_the_queries_the_keys_without_their_mean_and_the_values(grain: str) -> None:
    tensors = projection(150, 2, 64, "cpu", torch.float32)
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
