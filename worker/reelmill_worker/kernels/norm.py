"""Gated residual, layer norm, scale and shift, and quantization: all that stands between two linears, in one pass.

Letters: m rows (tokens), k columns (channels).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_worker.kernels import dsl
from reelmill_worker.kernels.dsl import jit, tl
from reelmill_worker.kernels.quantize import (
    LEAST_PEAK,
    PEAKS,
    TARGET_CODES,
    Target,
    check_rows,
    codes,
    new_codes,
    quantize_rows_reference,
)


def residual_norm_reference(
    x: Tensor, branch: Tensor, gate: Tensor, weight: Tensor, bias: Tensor, eps: float, target: Target
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x + branch * gate, and its layer norm times weight plus bias, quantized: (sum, codes, scales).

    Args:
        x: (m, k), the residual stream; the sum is rounded to its dtype.
        branch: (m, k), what the last linear gave.
        gate: (k,) float32.
        weight: (k,) float32; a modulated norm passes 1 + scale.
        bias: (k,) float32.
        eps: Added to the variance.
        target: Format of the codes.
    """
    total = (x.float() + branch.float() * gate).to(x.dtype)
    normed = F.layer_norm(total.float(), total.shape[1:], eps=eps) * weight + bias
    return total, *quantize_rows_reference(normed.to(x.dtype) if target == "none" else normed, target)


@jit
def _residual_norm_kernel(
    x_ptr, branch_ptr, gate_ptr, weight_ptr, bias_ptr, total_ptr, y_ptr, scale_ptr,
    n_columns, eps, peak, least_peak,
    TARGET: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """One row a program: t = x + b g; y = codes(((t - mean) / sd * w + c) / s). Reads 4 bytes, writes 3 an element."""
    row = (tl.num_programs(0) - 1 - tl.program_id(0)).to(tl.int64)  # what was written last is still in the cache
    start = row * n_columns
    head = tl.arange(0, HEAD)
    tail = HEAD + tl.arange(0, TAIL)
    inside = tail < n_columns

    a = tl.load(x_ptr + start + head).to(tl.float32)
    b = tl.load(x_ptr + start + tail, mask=inside, other=0.0).to(tl.float32)
    a += tl.load(branch_ptr + start + head).to(tl.float32) * tl.load(gate_ptr + head)
    b += tl.load(branch_ptr + start + tail, mask=inside, other=0.0).to(tl.float32) * tl.load(
        gate_ptr + tail, mask=inside, other=0.0
    )
    # The stream is kept in its own dtype, and the norm is of what is kept: so does every other implementation.
    a_kept = a.to(total_ptr.dtype.element_ty)
    b_kept = b.to(total_ptr.dtype.element_ty)
    tl.store(total_ptr + start + head, a_kept)
    tl.store(total_ptr + start + tail, b_kept, mask=inside)
    a = a_kept.to(tl.float32)
    b = b_kept.to(tl.float32)

    mean = (tl.sum(a, axis=0) + tl.sum(b, axis=0)) / n_columns
    a -= mean
    b = tl.where(inside, b - mean, 0.0)
    variance = (tl.sum(a * a, axis=0) + tl.sum(b * b, axis=0)) / n_columns
    inverse_sd = 1.0 / tl.sqrt(variance + eps)
    a = a * inverse_sd * tl.load(weight_ptr + head) + tl.load(bias_ptr + head)
    b = b * inverse_sd * tl.load(weight_ptr + tail, mask=inside, other=0.0) + tl.load(
        bias_ptr + tail, mask=inside, other=0.0
    )

    if TARGET == 0:
        tl.store(y_ptr + start + head, a)
        tl.store(y_ptr + start + tail, b, mask=inside)
    else:
        largest = tl.maximum(tl.max(tl.abs(a), axis=0), tl.max(tl.abs(b), axis=0))
        scale = tl.maximum(largest, least_peak) / peak
        inverse = 1.0 / scale
        tl.store(y_ptr + start + head, codes(a * inverse, TARGET))
        tl.store(y_ptr + start + tail, codes(b * inverse, TARGET), mask=inside)
        tl.store(scale_ptr + row, scale)


@torch.library.custom_op("reelmill::residual_norm", mutates_args=())
def residual_norm(
    x: Tensor, branch: Tensor, gate: Tensor, weight: Tensor, bias: Tensor, eps: float, target: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `residual_norm_reference` says, on the GPU in one pass."""
    check_rows(x)
    check_rows(branch)
    m, k = x.shape
    if branch.shape != x.shape or any(vector.shape != (k,) for vector in (gate, weight, bias)):
        shapes = [tuple(tensor.shape) for tensor in (x, branch, gate, weight, bias)]
        raise ValueError(f"wanted x and branch (m, k), then three vectors (k,), got {shapes}")
    total = torch.empty_like(x)
    y, scale = new_codes(x, target)
    head, tail = dsl.pieces(k)
    _residual_norm_kernel[(m,)](
        x, branch, gate, weight, bias, total, y, scale, k, eps, PEAKS.get(target, 1.0), LEAST_PEAK,
        TARGET=TARGET_CODES[target], HEAD=head, TAIL=tail, num_warps=dsl.warps(k),
    )  # fmt: skip
    return total, y, scale


@residual_norm.register_fake
def _(
    x: Tensor,
    branch: Tensor,  # noqa: ARG001 - the operation's signature, here and below
    gate: Tensor,  # noqa: ARG001
    weight: Tensor,  # noqa: ARG001
    bias: Tensor,  # noqa: ARG001
    eps: float,  # noqa: ARG001
    target: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), *new_codes(x, target)
