"""The fused operations as one set, plain or on the GPU, so that the model is written once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reelmill_worker.kernels import norm, quantize, rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusions:
    """What stands between the linears of a block. Each pair of twins has one signature, documented at its reference."""

    residual_norm: Callable[..., Any]
    qk_norm_rope: Callable[..., Any]
    rms_norm: Callable[..., Any]
    gelu_quantize: Callable[..., Any]
    quantize_rows: Callable[..., Any]


PLAIN = Fusions(
    residual_norm=norm.residual_norm_reference,
    qk_norm_rope=rotary.qk_norm_rope_reference,
    rms_norm=rotary.rms_norm_reference,
    gelu_quantize=quantize.gelu_quantize_reference,
    quantize_rows=quantize.quantize_rows_reference,
)
"""Runs anywhere, and says what the others mean."""

TRITON = Fusions(
    residual_norm=norm.residual_norm,
    qk_norm_rope=rotary.qk_norm_rope,
    rms_norm=rotary.rms_norm,
    gelu_quantize=quantize.gelu_quantize,
    quantize_rows=quantize.quantize_rows,
)
"""Needs a GPU and Triton."""
