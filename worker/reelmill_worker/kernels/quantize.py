"""8-bit values with one float32 scale a row: what they mean, and a kernel that makes them, with or without GELU first.

Letters: m rows (tokens), k columns (channels).
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_worker.kernels import dsl
from reelmill_worker.kernels.dsl import jit, tl

Target = Literal["none", "e4m3", "int8"]
"""What a fused operation returns: values in the input's dtype, or 8-bit codes with a scale a row."""

PEAKS: dict[str, float] = {"e4m3": 448.0, "int8": 127.0}
"""Largest code of each format."""
DTYPES: dict[str, torch.dtype] = {"e4m3": torch.float8_e4m3fn, "int8": torch.int8}
LEAST_PEAK = 1 / 512
"""Rows whose largest value is below this share its scale, so that zeros do not divide by zero.

Source: FastVideo 2f3d4074, layers/quantization/fp8_config.py, least scale 1 / (448 * 512).
"""
TARGET_CODES = {"none": 0, "e4m3": 1, "int8": 2}
"""The target as a number: kernels take no strings."""


def quantize_rows_reference(x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return (m, k) codes and (m, 1) float32 scales; codes times scale is x again, to 8 bits.

    Args:
        x: (m, k), any float.
        target: `none` passes x through, with no scales.
    """
    if target == "none":
        return x, x.new_empty((0, 1), dtype=torch.float32)
    wide = x.float()
    scale = wide.abs().amax(dim=1, keepdim=True).clamp(min=LEAST_PEAK) / PEAKS[target]  # (m, 1)
    return encode(wide * (1.0 / scale), target), scale


def encode(scaled: Tensor, target: Target) -> Tensor:
    """Round float32 values within the format's range to its codes; e4m3 to nearest even, int8 half up."""
    if target == "int8":
        return torch.floor(scaled + 0.5).to(torch.int8)
    peak = PEAKS[target]
    return scaled.clamp(-peak, peak).to(torch.float8_e4m3fn)


def gelu_quantize_reference(x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Apply GELU (tanh form) in float32, then quantize as `quantize_rows_reference` does."""
    active = F.gelu(x.float(), approximate="tanh")
    return quantize_rows_reference(active.to(x.dtype) if target == "none" else active, target)


@jit
def codes(scaled, TARGET: tl.constexpr):
    """Round to the codes of a target: 1 is e4m3, 2 is int8."""
    if TARGET == 2:
        y = tl.floor(scaled + 0.5).to(tl.int8)
    else:
        y = tl.minimum(tl.maximum(scaled, -448.0), 448.0).to(tl.float8e4nv)
    return y


@jit
def gelu(x):
    """GELU, tanh form, as x * sigmoid(2u): one exponential. Source: Hendrycks and Gimpel, 2016."""
    u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return x / (1.0 + tl.exp(-2.0 * u))


@jit
def _quantize_kernel(
    x_ptr, y_ptr, scale_ptr, n_columns, peak, least_peak,
    GELU: tl.constexpr, TARGET: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """One row a program: y = codes(f(x) / s), s = max|f(x)| / peak. Reads 2 bytes, writes 1 (2 without a target)."""
    row = (tl.num_programs(0) - 1 - tl.program_id(0)).to(tl.int64)  # what was written last is still in the cache
    head = tl.arange(0, HEAD)
    tail = HEAD + tl.arange(0, TAIL)
    inside = tail < n_columns
    x_ptr += row * n_columns
    y_ptr += row * n_columns
    a = tl.load(x_ptr + head).to(tl.float32)
    b = tl.load(x_ptr + tail, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        a = gelu(a)
        b = gelu(b)
    if TARGET == 0:
        tl.store(y_ptr + head, a)
        tl.store(y_ptr + tail, b, mask=inside)
    else:
        largest = tl.maximum(tl.max(tl.abs(a), axis=0), tl.max(tl.abs(b), axis=0))
        scale = tl.maximum(largest, least_peak) / peak
        inverse = 1.0 / scale
        tl.store(y_ptr + head, codes(a * inverse, TARGET))
        tl.store(y_ptr + tail, codes(b * inverse, TARGET), mask=inside)
        tl.store(scale_ptr + row, scale)


def _launch(x: Tensor, target: Target, *, with_gelu: bool) -> tuple[Tensor, Tensor]:
    check_rows(x)
    m, k = x.shape
    y, scale = new_codes(x, target)
    head, tail = dsl.pieces(k)
    _quantize_kernel[(m,)](
        x, y, scale, k, PEAKS.get(target, 1.0), LEAST_PEAK,
        GELU=with_gelu, TARGET=TARGET_CODES[target], HEAD=head, TAIL=tail, num_warps=dsl.warps(k),
    )  # fmt: skip
    return y, scale


def new_codes(x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Allocate what a fused operation writes for rows like x: codes (m, k) and scales (m, 1), or none of these."""
    y = torch.empty(x.shape, dtype=DTYPES.get(target, x.dtype), device=x.device)
    rows = 0 if target == "none" else x.shape[0]
    return y, torch.empty((rows, 1), dtype=torch.float32, device=x.device)


def check_rows(x: Tensor) -> None:
    """Refuse what the row kernels cannot take."""
    if x.ndim != 2 or not x.is_contiguous():
        raise ValueError(f"wanted contiguous rows (m, k), got shape {tuple(x.shape)} and strides {x.stride()}")
    if x.shape[1] < 2:
        raise ValueError(f"wanted at least 2 columns, got {x.shape[1]}")


@torch.library.custom_op("reelmill::quantize_rows", mutates_args=())
def _quantize_rows(x: Tensor, target: str) -> tuple[Tensor, Tensor]:
    return _launch(x, target, with_gelu=False)


@torch.library.custom_op("reelmill::gelu_quantize", mutates_args=())
def gelu_quantize(x: Tensor, target: str) -> tuple[Tensor, Tensor]:
    """Do what `gelu_quantize_reference` says, on the GPU in one pass."""
    return _launch(x, target, with_gelu=True)


@_quantize_rows.register_fake
@gelu_quantize.register_fake
def _(x: Tensor, target: str) -> tuple[Tensor, Tensor]:
    return new_codes(x, target)


def quantize_rows(x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Do what `quantize_rows_reference` says, on the GPU in one pass."""
    if target == "none":  # an operation may not give back its own input
        return quantize_rows_reference(x, target)
    return _quantize_rows(x, target)
