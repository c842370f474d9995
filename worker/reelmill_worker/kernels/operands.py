"""The operands of SageAttention 2, made of the fused projection: norms, rotation and 8-bit codes in two readings.

Its own wrapper reads queries, keys and values seven times and writes them four times on the way to the same codes.

Letters: l tokens, n heads, d channels of a head, k = n d channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reelmill_worker.kernels.dsl import jit, pieces, tl
from reelmill_worker.kernels.operand_codes import (
    CODE_PEAK,
    GRAINS,
    LEAST_SCALE,
    LEAST_VALUE,
    QuantLayout,
    rounded_up,
    scale_groups,
)

BLOCK = 128
"""Tokens of a program: a whole number of every kernel's groups."""
AT_ONCE, STAGES = 2, 3
"""Tokens that the first reading has in registers together, and how many such loads are under way."""
HEAD_SIZES = (64, 128)
"""Channels of a head that SageAttention's kernels are built for."""


@jit
def _turned(x, cosine, sine, ROWS: tl.constexpr, PAIRS: tl.constexpr):
    """Turn adjacent channels as pairs; return the even and the odd ones."""
    even, odd = tl.split(tl.reshape(x, [ROWS, PAIRS, 2]))
    return even * cosine - odd * sine, even * sine + odd * cosine


@jit
def _turned_row(
    x, cosine_ptr, sine_ptr, rows, inside, start, HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr
):
    """Turn a piece of some rows that begins at channel `start`."""
    pairs = (start // 2 + tl.arange(0, PAIRS)) % HALF
    places = rows[:, None] * HALF + pairs[None, :]
    cosine = tl.load(cosine_ptr + places, mask=inside[:, None], other=0.0)
    sine = tl.load(sine_ptr + places, mask=inside[:, None], other=0.0)
    even, odd = _turned(x, cosine, sine, ROWS, PAIRS)
    return tl.reshape(tl.join(even, odd), [ROWS, PAIRS * 2])


@jit
def _survey_kernel(
    x_ptr, weight_ptr, cosine_ptr, sine_ptr, inverse_ptr, partial_ptr, n_rows, n_columns, x_stride, eps,
    BLOCK: tl.constexpr, ROWS: tl.constexpr, HALF: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Some rows of queries, keys or values a program: 1 / rms of each query and key, and one number a channel.

    That is the sum of the program's turned keys, or its largest value. Reads 2 bytes an element.
    """
    block = tl.program_id(0)
    part = tl.program_id(1)
    head = tl.arange(0, HEAD)
    tail = HEAD + tl.arange(0, TAIL)
    within = tail < n_columns
    x_ptr += part * n_columns
    found_a = tl.zeros([ROWS, HEAD], tl.float32)
    found_b = tl.zeros([ROWS, TAIL], tl.float32)
    for first in tl.range(0, BLOCK, ROWS, num_stages=STAGES):
        rows = (block * BLOCK + first + tl.arange(0, ROWS)).to(tl.int64)
        inside = rows < n_rows
        row_ptr = x_ptr + rows[:, None] * x_stride
        a = tl.load(row_ptr + head[None, :], mask=inside[:, None], other=0.0).to(tl.float32)
        b = tl.load(row_ptr + tail[None, :], mask=inside[:, None] & within[None, :], other=0.0).to(tl.float32)
        if part == 2:
            found_a = tl.maximum(found_a, tl.abs(a))
            found_b = tl.maximum(found_b, tl.abs(b))
        else:
            squares = tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)
            inverse = 1.0 / tl.sqrt(squares / n_columns + eps)
            tl.store(inverse_ptr + part * n_rows + rows, inverse, mask=inside)
            if part == 1:
                a *= inverse[:, None] * tl.load(weight_ptr + n_columns + head)[None, :]
                b *= inverse[:, None] * tl.load(weight_ptr + n_columns + tail, mask=within, other=0.0)[None, :]
                found_a += _turned_row(a, cosine_ptr, sine_ptr, rows, inside, 0, HALF, ROWS, HEAD // 2)
                found_b += _turned_row(b, cosine_ptr, sine_ptr, rows, inside, HEAD, HALF, ROWS, TAIL // 2)
    if part > 0:
        partial_ptr += ((part - 1) * tl.num_programs(0) + block) * n_columns
        if part == 1:
            tl.store(partial_ptr + head, tl.sum(found_a, axis=0))
            tl.store(partial_ptr + tail, tl.sum(found_b, axis=0), mask=within)
        else:
            tl.store(partial_ptr + head, tl.max(found_a, axis=0))
            tl.store(partial_ptr + tail, tl.max(found_b, axis=0), mask=within)


@jit
def _settle_kernel(
    partial_ptr, mean_ptr, scale_ptr, n_rows, n_blocks, n_columns, value_peak, least,
    BLOCKS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Some channels a program: the mean of the keys, or the scale of the values."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    within = columns < n_columns
    partial_ptr += part * n_blocks * n_columns
    found = tl.zeros([BLOCKS, COLUMNS], tl.float32)
    for first in range(0, n_blocks, BLOCKS):
        blocks = first + tl.arange(0, BLOCKS)
        inside = (blocks < n_blocks)[:, None] & within[None, :]
        some = tl.load(partial_ptr + blocks[:, None] * n_columns + columns[None, :], mask=inside, other=0.0)
        if part == 0:
            found += some
        else:
            found = tl.maximum(found, some)
    if part == 0:
        tl.store(mean_ptr + columns, tl.sum(found, axis=0) / n_rows, mask=within)
    else:
        tl.store(scale_ptr + columns, tl.maximum(tl.max(found, axis=0), least) / value_peak, mask=within)


@jit
def _rounded(x, scale):
    """Codes of a tile with a scale a row, half away from zero."""
    x = x / scale
    return (x + tl.where(x >= 0, 0.5, -0.5)).to(tl.int8)


@jit
def _codes_kernel(
    x_ptr, weight_ptr, cosine_ptr, sine_ptr, inverse_ptr, mean_ptr, query_ptr, query_scale_ptr, key_ptr, key_scale_ptr,
    n_rows, n_columns, x_stride, query_groups, key_groups, code_peak, least,
    HEADS: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr, WARP: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """Some rows of all heads of queries or keys a program: y = codes((turn(x / rms(x) w) - mean) / s), with s by group.

    Reads 2 bytes, writes 1 an element. The tables are read once for all heads.
    """
    block = tl.num_programs(0) - 1 - tl.program_id(0)  # the last rows of the first reading are still in the cache
    part = tl.program_id(1)
    y_ptr = query_ptr
    if part == 1:
        y_ptr = key_ptr
    rows = (block * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    inside = rows < n_rows
    pairs = tl.arange(0, HALF)
    channels = tl.arange(0, HALF * 2)
    places = rows[:, None] * HALF + pairs[None, :]
    cosine = tl.load(cosine_ptr + places, mask=inside[:, None], other=0.0)
    sine = tl.load(sine_ptr + places, mask=inside[:, None], other=0.0)
    inverse = tl.load(inverse_ptr + part * n_rows + rows, mask=inside, other=0.0)
    for head in range(HEADS):
        columns = head * HALF * 2 + channels
        x_ptrs = x_ptr + part * n_columns + rows[:, None] * x_stride + columns[None, :]
        x = tl.load(x_ptrs, mask=inside[:, None], other=0.0)
        x = x.to(tl.float32) * inverse[:, None] * tl.load(weight_ptr + part * n_columns + columns)[None, :]
        even, odd = _turned(x, cosine, sine, BLOCK, HALF)
        if part == 1:
            even -= tl.load(mean_ptr + head * HALF * 2 + pairs * 2)[None, :]
            odd -= tl.load(mean_ptr + head * HALF * 2 + pairs * 2 + 1)[None, :]
        peak = tl.maximum(tl.max(tl.abs(even), axis=1), tl.max(tl.abs(odd), axis=1))
        peak = tl.where(inside, peak, 0.0)
        if part == 0:
            of_lane = tl.max(tl.reshape(peak, [BLOCK // WARP, WARP // 8, 8]), axis=1)
            lanes = of_lane / code_peak + least  # (warps, 8)
            at = block * (BLOCK // WARP * 8) + tl.arange(0, BLOCK // WARP)[:, None] * 8 + tl.arange(0, 8)[None, :]
            tl.store(query_scale_ptr + head * query_groups + at, lanes, mask=at < query_groups)
            scale = tl.reshape(tl.broadcast_to(lanes[:, None, :], [BLOCK // WARP, WARP // 8, 8]), [BLOCK])
        else:
            of_pair = tl.max(tl.reshape(peak, [BLOCK // KEYS, KEYS // 8, 4, 2]), axis=3)
            quads = tl.max(of_pair, axis=1) / code_peak + least  # (key blocks, 4)
            to = block * (BLOCK // KEYS * 4) + tl.arange(0, BLOCK // KEYS)[:, None] * 4 + tl.arange(0, 4)[None, :]
            tl.store(key_scale_ptr + head * key_groups + to, quads, mask=to < key_groups)
            scale = tl.reshape(tl.broadcast_to(quads[:, None, :, None], [BLOCK // KEYS, KEYS // 8, 4, 2]), [BLOCK])
        scale = scale[:, None]
        y = tl.reshape(tl.join(_rounded(even, scale), _rounded(odd, scale)), [BLOCK, HALF * 2])
        tl.store(y_ptr + rows[:, None] * n_columns + columns[None, :], y, mask=inside[:, None])


@jit
def _values_kernel(
    x_ptr, scale_ptr, y_ptr, n_rows, n_places, x_stride, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Some places of one head a program: its tokens' values as e4m3, channels first. Reads 2 bytes, writes 1."""
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    head = tl.program_id(1)
    heads = tl.num_programs(1)
    places = (block * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    rows = places // 16 * 16 + places // 2 % 2 * 8 + places % 16 // 4 * 2 + places % 2
    channels = tl.arange(0, CHANNELS)
    columns = head * CHANNELS + channels
    x = tl.load(x_ptr + rows[:, None] * x_stride + columns[None, :], mask=(rows < n_rows)[:, None], other=0.0)
    x = x.to(tl.float32) * (1.0 / tl.load(scale_ptr + columns))[None, :]
    x = tl.minimum(tl.maximum(x, -448.0), 448.0).to(tl.float8e4nv)
    y_rows = channels.to(tl.int64) * heads + head
    tl.store(y_ptr + y_rows[:, None] * n_places + places[None, :], tl.trans(x), mask=(places < n_places)[None, :])


@torch.library.custom_op("reelmill::attention_operands", mutates_args=())
def _operands(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, grain: str) -> list[Tensor]:
    kind, half = GRAINS[grain], cosine.shape[1]
    tokens, k = qkv.shape[0], weights.shape[1]
    _check(qkv, weights, cosine)
    n, query_groups, key_groups = k // (2 * half), *scale_groups(tokens, kind)
    blocks = rounded_up(tokens, BLOCK) // BLOCK
    made = _new(qkv, k, half, kind)
    query, query_scale, key, key_scale, value, value_scale = made
    inverse = torch.empty((2, tokens), dtype=torch.float32, device=qkv.device)
    partial = torch.empty((2, blocks, k), dtype=torch.float32, device=qkv.device)
    mean = torch.empty(k, dtype=torch.float32, device=qkv.device)
    head, tail = pieces(k)
    parts = 3 if kind.value_peak else 2
    _survey_kernel[(blocks, parts)](
        qkv, weights, cosine, sine, inverse, partial, tokens, k, qkv.stride(0), eps,
        BLOCK=BLOCK, ROWS=AT_ONCE, HALF=half, HEAD=head, TAIL=max(tail, 2), STAGES=STAGES, num_warps=4,
    )  # fmt: skip
    _settle_kernel[((k + 31) // 32, parts - 1)](
        partial, mean, value_scale, tokens, blocks, k, max(kind.value_peak, 1.0), LEAST_VALUE,
        BLOCKS=64, COLUMNS=32, num_warps=4,
    )  # fmt: skip
    _codes_kernel[(blocks, 2)](
        qkv, weights, cosine, sine, inverse, mean, query, query_scale, key, key_scale,
        tokens, k, qkv.stride(0), query_groups, key_groups, CODE_PEAK, LEAST_SCALE,
        HEADS=n, HALF=half, BLOCK=BLOCK, WARP=kind.query_warp, KEYS=kind.key_block, num_warps=8,
    )  # fmt: skip
    if kind.value_peak:
        _values_kernel[(blocks, n)](
            qkv[:, 2 * k :], value_scale, value, tokens, value.shape[2], qkv.stride(0),
            CHANNELS=2 * half, BLOCK=BLOCK, num_warps=8,
        )  # fmt: skip
    return made


def _check(qkv: Tensor, weights: Tensor, cosine: Tensor) -> None:
    k, d = weights.shape[1], 2 * cosine.shape[1]
    if qkv.ndim != 2 or qkv.stride(1) != 1 or qkv.shape[1] != 3 * k:
        raise ValueError(f"wanted rows of 3 x {k} columns, got {tuple(qkv.shape)} and strides {qkv.stride()}")
    if d not in HEAD_SIZES or k % d:
        raise ValueError(f"wanted heads of {HEAD_SIZES} channels, got {k} channels in heads of {d}")


def _new(qkv: Tensor, k: int, half: int, kind: QuantLayout) -> list[Tensor]:
    tokens, d = qkv.shape[0], 2 * half
    n = k // d

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=qkv.device)

    query_groups, key_groups = scale_groups(tokens, kind)
    whole = bool(kind.value_peak)
    return [
        new(tokens, n, d, dtype=torch.int8),
        new(n, query_groups),
        new(tokens, n, d, dtype=torch.int8),
        new(n, key_groups),
        new(*((d, n, rounded_up(tokens, kind.value_block)) if whole else (0, 0, 0)), dtype=torch.float8_e4m3fn),
        new(*((n, d) if whole else (0, 0))),
    ]


@_operands.register_fake
def _(qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, grain: str) -> list[Tensor]:  # noqa: ARG001 - the operation's signature
    return _new(qkv, weights.shape[1], cosine.shape[1], GRAINS[grain])


def attention_operands(
    qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, grain: str
) -> Sequence[Tensor]:
    """Do what `operand_codes.attention_operands_reference` says, on the GPU in two readings.

    Raises:
        ValueError: Heads of another size than `HEAD_SIZES`, or a projection of another shape.
    """
    *found, value, value_scale = _operands(qkv, weights, cosine, sine, eps, grain)
    if not GRAINS[grain].value_peak:
        value = qkv[:, 2 * weights.shape[1] :].unflatten(1, (-1, 2 * cosine.shape[1]))
    return *found, value, value_scale
