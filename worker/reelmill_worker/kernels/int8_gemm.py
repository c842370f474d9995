"""INT8 linear for tensor cores without FP8: int8 codes times int8 codes, scales and bias applied before the write.

Letters: m rows (tokens), k channels in, n channels out.
"""

import torch
from torch import Tensor

from reelmill_worker.kernels.dsl import jit, tl


def int8_linear_reference(x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor) -> Tensor:
    """Return (x x_scale)(weight weight_scale)^T + bias, (m, n) in the bias's dtype.

    Args:
        x: (m, k) int8.
        x_scale: (m, 1) float32.
        weight: (n, k) int8.
        weight_scale: (n, 1) float32.
        bias: (n,).
    """
    # float64 holds every sum of k < 2**39 products of int8 exactly.
    sums = x.double() @ weight.double().t()
    return (sums.float() * x_scale * weight_scale.t() + bias.float()).to(bias.dtype)


@jit
def _int8_linear_kernel(
    x_ptr, w_ptr, x_scale_ptr, w_scale_ptr, bias_ptr, y_ptr, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """One tile of y a program: y = (x w^T) s_x s_w + bias, sums in int32. 2 m n k operations, m k + n k + 2 m n bytes.

    Programs go through tiles in groups of GROUP_M rows of tiles, so that neighbours share weights in the L2 cache.
    Source of the order: Triton tutorial 03.
    """
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    program = tl.program_id(0)
    group = program // (GROUP_M * tiles_n)
    first_m = group * GROUP_M
    group_rows = min(tiles_m - first_m, GROUP_M)
    tile_m = first_m + (program % (GROUP_M * tiles_n)) % group_rows
    tile_n = (program % (GROUP_M * tiles_n)) // group_rows

    rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    # Rows past the end read the first ones again instead of a mask; what they give is never written.
    x_ptrs = x_ptr + (rows % M)[:, None].to(tl.int64) * K + inner[None, :]
    w_ptrs = w_ptr + (columns % N)[None, :].to(tl.int64) * K + inner[:, None]
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.int32)
    for k in range(0, K, BLOCK_K):
        if EVEN_K:
            x = tl.load(x_ptrs)
            w = tl.load(w_ptrs)
        else:
            x = tl.load(x_ptrs, mask=inner[None, :] < K - k, other=0)
            w = tl.load(w_ptrs, mask=inner[:, None] < K - k, other=0)
        sums = tl.dot(x, w, sums, out_dtype=tl.int32)
        x_ptrs += BLOCK_K
        w_ptrs += BLOCK_K

    x_scale = tl.load(x_scale_ptr + rows, mask=rows < M, other=0.0)
    w_scale = tl.load(w_scale_ptr + columns, mask=columns < N, other=0.0)
    bias = tl.load(bias_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)
    y = sums.to(tl.float32) * x_scale[:, None] * w_scale[None, :] + bias[None, :]
    y_ptrs = y_ptr + rows[:, None].to(tl.int64) * N + columns[None, :]
    tl.store(y_ptrs, y, mask=(rows[:, None] < M) & (columns[None, :] < N))


TILES: dict[str, int] = {"BLOCK_M": 128, "BLOCK_N": 128, "BLOCK_K": 128, "GROUP_M": 8, "num_warps": 4, "num_stages": 3}
"""3 stages of (128 + 128) x 128 bytes are 96 KB, which fits every card since Ampere: sm86 and sm89 have 99 KB a block.

The fastest of 4 on an H100 (docs/lab-notes.md); wider tiles, the bulk copy engine and a persistent grid gain 4 to 6 %
there, where FP8 is used anyway.
"""


def launch(
    x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor, tiles: dict[str, int]
) -> Tensor:
    """Run the kernel with given tile sizes."""
    (m, k), n = x.shape, weight.shape[0]
    if x.dtype != torch.int8 or weight.dtype != torch.int8 or weight.shape[1] != k:
        wanted = "int8 (m, k) and int8 (n, k)"
        raise ValueError(f"wanted {wanted}, got {x.dtype} {tuple(x.shape)} and {weight.dtype} {tuple(weight.shape)}")
    if not (x.is_contiguous() and weight.is_contiguous()):
        raise ValueError(f"wanted contiguous codes, got strides {x.stride()} and {weight.stride()}")
    if x_scale.numel() != m or weight_scale.numel() != n or bias.numel() != n:
        got = [tensor.numel() for tensor in (x_scale, weight_scale, bias)]
        raise ValueError(f"wanted {m}, {n} and {n} scales and biases, got {got}")
    y = torch.empty((m, n), dtype=bias.dtype, device=x.device)
    grid = (-(-m // tiles["BLOCK_M"]) * -(-n // tiles["BLOCK_N"]),)
    _int8_linear_kernel[grid](
        x, weight, x_scale, weight_scale, bias, y, m, n, k, EVEN_K=k % tiles["BLOCK_K"] == 0, **tiles
    )
    return y


@torch.library.custom_op("reelmill::int8_linear", mutates_args=())
def int8_linear(x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor) -> Tensor:
    """Do what `int8_linear_reference` says, on integer tensor cores."""
    return launch(x, x_scale, weight, weight_scale, bias, TILES)


@int8_linear.register_fake
def _(x: Tensor, x_scale: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor) -> Tensor:  # noqa: ARG001 - the operation's signature
    return bias.new_empty((x.shape[0], weight.shape[0]))
