"""RMS norm over all heads of queries and keys, and their rotation by position, in one pass over the fused projection.

Letters: l tokens, n heads, d channels of a head, k = n d channels, p parts of a row.
"""

import torch
from torch import Tensor

from reelmill_worker.kernels import dsl
from reelmill_worker.kernels.dsl import jit, tl


def rms_norm_reference(x: Tensor, weights: Tensor, eps: float) -> Tensor:
    """Return each part of x over its root mean square, times its weight: (p, l, k) in x's dtype, computed in float32.

    Args:
        x: (l, p k) or wider, parts side by side; one has all heads of a token: Wan norms before it splits them.
        weights: (p, k) float32.
        eps: Added to the mean square.
    """
    parts = x[:, : weights.numel()].float().unflatten(1, weights.shape).transpose(0, 1)  # (p, l, k)
    return _rms(parts, weights.unsqueeze(1), eps).to(x.dtype).contiguous()


def qk_norm_rope_reference(
    qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return queries and keys, each (l, k): RMS norm over all heads, then adjacent channels turned as pairs.

    Args:
        qkv: (l, 3 k), the fused projection.
        weights: (2, k) float32, of the norms of queries and keys.
        cosine: (l, d / 2) float32.
        sine: (l, d / 2) float32.
        eps: Added to the mean square.
    """
    k = weights.shape[1]
    queries, keys = (
        _rotate(_rms(qkv[:, part * k : (part + 1) * k].float(), weights[part], eps), cosine, sine).to(qkv.dtype)
        for part in range(2)
    )
    return queries, keys


def _rms(wide: Tensor, weight: Tensor, eps: float) -> Tensor:
    return wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * weight


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    even, odd = x.unflatten(1, (-1, cosine.shape[1], 2)).unbind(-1)  # (l, n, d / 2) each
    cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)  # (l, 1, d / 2)
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)  # (l, n, d / 2, 2)
    return turned.flatten(1)  # (l, k)


@jit
def _rotated(x, w, inverse, cosine_ptr, sine_ptr, pairs, HALF: tl.constexpr, BLOCK: tl.constexpr, ROPE: tl.constexpr):
    """Norm one piece of a row and turn its pairs."""
    x = x * inverse * w
    if ROPE:
        even, odd = tl.split(tl.reshape(x, [BLOCK, 2]))
        cosine = tl.load(cosine_ptr + pairs % HALF)
        sine = tl.load(sine_ptr + pairs % HALF)
        x = tl.reshape(tl.join(even * cosine - odd * sine, even * sine + odd * cosine), [BLOCK * 2])
    return x


@jit
def _norm_rope_kernel(
    x_ptr, weight_ptr, cosine_ptr, sine_ptr, y_ptr, n_rows, n_columns, x_stride, eps,
    ROPE: tl.constexpr, HALF: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """One row of one part (query or key) a program: y = turn(x / rms(x) * w). Reads 2 bytes, writes 2 an element.

    The tables are read once a head, from cache: 8 bytes a pair of channels of one head.
    """
    row = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1).to(tl.int64)
    x_ptr += row * x_stride + part * n_columns
    weight_ptr += part * n_columns
    y_ptr += (part * n_rows + row) * n_columns
    cosine_ptr += row * HALF
    sine_ptr += row * HALF
    head = tl.arange(0, HEAD)
    tail = HEAD + tl.arange(0, TAIL)
    inside = tail < n_columns
    a = tl.load(x_ptr + head).to(tl.float32)
    b = tl.load(x_ptr + tail, mask=inside, other=0.0).to(tl.float32)
    inverse = 1.0 / tl.sqrt((tl.sum(a * a, axis=0) + tl.sum(b * b, axis=0)) / n_columns + eps)
    w_a = tl.load(weight_ptr + head)
    w_b = tl.load(weight_ptr + tail, mask=inside, other=0.0)
    a = _rotated(a, w_a, inverse, cosine_ptr, sine_ptr, tl.arange(0, HEAD // 2), HALF, HEAD // 2, ROPE)
    pairs = HEAD // 2 + tl.arange(0, TAIL // 2)
    b = _rotated(b, w_b, inverse, cosine_ptr, sine_ptr, pairs, HALF, TAIL // 2, ROPE)
    tl.store(y_ptr + head, a)
    tl.store(y_ptr + tail, b, mask=inside)


def _launch(x: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, *, rope: bool) -> Tensor:
    parts, k = weights.shape
    if x.ndim != 2 or x.stride(1) != 1 or x.shape[1] < parts * k:
        raise ValueError(f"wanted rows of {parts} x {k} columns, got {tuple(x.shape)} and strides {x.stride()}")
    if k < 4 or k % 2:
        raise ValueError(f"wanted an even number of channels, at least 4, got {k}")
    rows = x.shape[0]
    y = torch.empty((parts, rows, k), dtype=x.dtype, device=x.device)
    head, tail = dsl.pieces(k)
    _norm_rope_kernel[(rows, parts)](
        x, weights, cosine, sine, y, rows, k, x.stride(0), eps,
        ROPE=rope, HALF=cosine.shape[-1], HEAD=head, TAIL=max(tail, 2), num_warps=dsl.warps(k),
    )  # fmt: skip
    return y


@torch.library.custom_op("reelmill::qk_norm_rope", mutates_args=())
def _qk_norm_rope(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float) -> Tensor:
    return _launch(qkv, weights, cosine, sine, eps, rope=True)


@_qk_norm_rope.register_fake
def _(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float) -> Tensor:  # noqa: ARG001 - the operation's signature
    return qkv.new_empty((2, qkv.shape[0], weights.shape[1]))


def qk_norm_rope(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Do what `qk_norm_rope_reference` says, on the GPU in one pass."""
    both = _qk_norm_rope(qkv, weights, cosine, sine, eps)
    return both[0], both[1]


@torch.library.custom_op("reelmill::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weights: Tensor, eps: float) -> Tensor:
    """Do what `rms_norm_reference` says, on the GPU in one pass."""
    return _launch(x, weights, weights, weights, eps, rope=False)


@rms_norm.register_fake
def _(x: Tensor, weights: Tensor, eps: float) -> Tensor:  # noqa: ARG001 - the operation's signature
    return x.new_empty((weights.shape[0], x.shape[0], weights.shape[1]))
