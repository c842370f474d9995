"""The two sets of fused operations are one interface: a plan may take either."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import torch

from fixtures.codes import assert_same_codes, projection
from reelmill_worker.kernels.fusions import PLAIN, TRITON, Fusions


def parameters(operation: Any) -> list[str]:
    """Return the names of the parameters; a custom operation keeps its function behind a call that takes anything."""
    return list(inspect.signature(getattr(operation, "_init_fn", operation)).parameters)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Fusions)])
def test_an_operation_takes_the_same_arguments_in_both_sets(name: str) -> None:
    plain, fused = parameters(getattr(PLAIN, name)), parameters(getattr(TRITON, name))

    assert len(plain) > 1
    assert fused == plain


def test_a_chain_of_the_plain_set_gives_what_a_chain_of_the_fused_set_gives(triton: None, device: str) -> None:
    qkv, weights, cosine, sine = projection(5, 2, 32, device, torch.float32)

    (want, want_scale), (got, got_scale) = (
        of.quantize_rows(of.qk_norm_rope(qkv, weights, cosine, sine, 1e-6)[0], "int8") for of in (PLAIN, TRITON)
    )

    torch.testing.assert_close(got_scale, want_scale, rtol=1e-5, atol=0)
    assert_same_codes(got, want)
