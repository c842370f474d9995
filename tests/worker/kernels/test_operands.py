from __future__ import annotations

import pytest
import torch

from fixtures.codes import projection
from reelmill_worker.kernels.operand_codes import GRAINS, attention_operands_reference
from reelmill_worker.kernels.operands import attention_operands

EPS = 1e-6


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize(("tokens", "heads", "channels"), [(130, 2, 64), (64, 3, 128), (257, 1, 64)])
def test_the_kernels_make_the_codes_that_their_twin_makes(
    triton: None, device: str, dtype: torch.dtype, grain: str, tokens: int, heads: int, channels: int
) -> None:
    tensors = projection(tokens, heads, channels, device, dtype)
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


def test_heads_that_no_kernel_of_sageattention_takes_are_refused(device: str, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"wanted heads of \(64, 128\) channels, got 32 channels in heads of 16"):
        attention_operands(*projection(4, 2, 16, device, dtype), EPS, "sm90")
