"""The 8-bit codes that SageAttention 2 multiplies: which tokens share a scale, and the plain twin of `operands`.

Letters: l tokens, n heads, d channels of a head, k = n d channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reelmill_worker.kernels.rotary import qk_norm_rope_reference

CODE_PEAK = 127.0
LEAST_SCALE = 1e-7
"""Added to each scale, as SageAttention does, so that zeros do not divide by zero."""
LEAST_VALUE = 1e-6
"""Channels of values whose largest is below this share its scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantLayout:
    """Which tokens share a scale, as the threads of a kernel hold them.

    Source: SageAttention d1a57a5, triton/quant_per_thread.py and core.py.

    Attributes:
        query_block: Queries of one of its thread blocks; scales come in whole blocks.
        query_warp: Queries of a warp: of each such run every eighth shares a scale.
        key_block: Keys that it takes at once.
        value_peak: Largest code of e4m3 values; 0 if values stay floats.
        value_block: Values come in whole blocks, padded with zeros.
    """

    query_block: int
    query_warp: int
    key_block: int
    value_peak: float
    value_block: int


GRAINS = {
    "sm80": QuantLayout(query_block=128, query_warp=32, key_block=64, value_peak=0.0, value_block=1),
    "sm80-mixed": QuantLayout(query_block=128, query_warp=16, key_block=64, value_peak=0.0, value_block=1),
    # Products are summed in float16 for a while, which overflows with larger codes.
    "sm89": QuantLayout(query_block=128, query_warp=32, key_block=64, value_peak=2.25, value_block=64),
    "sm90": QuantLayout(query_block=64, query_warp=16, key_block=128, value_peak=448.0, value_block=128),
}


def attention_operands_reference(
    qkv: Tensor, weights: Tensor, cosine: Tensor, sine: Tensor, eps: float, grain: str
) -> tuple[Tensor, ...]:
    """Return what a kernel multiplies: queries, their scales, keys, their scales, values, their scales.

    Keys lose their mean over the tokens first, which leaves every softmax as it is and makes the codes finer.

    Args:
        qkv: (l, 3 k), the fused projection.
        weights: (2, k) float32, of the norms of queries and keys.
        cosine: (l, d / 2) float32.
        sine: (l, d / 2) float32.
        eps: Added to the mean square.
        grain: A name of `GRAINS`.

    Returns:
        Codes (l, n, d) int8 and scales (n, groups) float32 of queries, then of keys; values (d, n, padded l) e4m3 in
        the order in which tensor cores take them and scales (n, d), or values (l, n, d) as they came and no scales.
    """
    kind, half = GRAINS[grain], cosine.shape[1]
    queries, keys = qk_norm_rope_reference(qkv.float(), weights, cosine, sine, eps)
    queries, keys, values = (x.unflatten(1, (-1, 2 * half)) for x in (queries, keys, qkv[:, 2 * weights.shape[1] :]))
    rows = torch.arange(qkv.shape[0], device=qkv.device)
    first = (rows // kind.query_warp) * 8 + rows % 8
    second = (rows // kind.key_block) * 4 + rows % 8 // 2
    groups = scale_groups(qkv.shape[0], kind)
    return (
        *_grouped_codes(queries, first, groups[0]),
        *_grouped_codes(keys - keys.mean(dim=0), second, groups[1]),
        *_value_codes(values, kind),
    )


def _grouped_codes(x: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    peaks = x.new_zeros((groups, x.shape[1]))
    peaks.scatter_reduce_(0, group[:, None].expand(-1, x.shape[1]), x.abs().amax(dim=2), "amax")
    scales = peaks / CODE_PEAK + LEAST_SCALE
    scaled = x / scales[group][:, :, None]
    return (scaled + 0.5 * scaled.sign()).to(torch.int8), scales.t().contiguous()


def _value_codes(values: Tensor, kind: QuantLayout) -> tuple[Tensor, Tensor]:
    if not kind.value_peak:
        return values, values.new_empty((0, 0), dtype=torch.float32)
    tokens = values.shape[0]
    padded = rounded_up(tokens, kind.value_block)
    wide = values.float()
    scales = wide.abs().amax(dim=0).clamp(min=LEAST_VALUE) / kind.value_peak  # (n, d)
    rows = _order(torch.arange(padded, device=values.device))
    wide = torch.nn.functional.pad(wide / scales, (0, 0, 0, 0, 0, padded - tokens))[rows]
    return wide.to(torch.float8_e4m3fn).permute(2, 1, 0).contiguous(), scales


def _order(places: Tensor) -> Tensor:
    """Return which token of each 16 lies at a place: 0, 1, 8, 9, 2, 3, 10, 11 and so on."""
    return places // 16 * 16 + places // 2 % 2 * 8 + places % 16 // 4 * 2 + places % 2


def rounded_up(count: int, block: int) -> int:
    """Return the least number of whole blocks that holds `count`, in what they hold."""
    return (count + block - 1) // block * block


def scale_groups(tokens: int, kind: QuantLayout) -> tuple[int, int]:
    """Return how many scales the queries and the keys of one head have."""
    queries = rounded_up(tokens, kind.query_block) // kind.query_warp * 8
    return queries, rounded_up(tokens, kind.key_block) // kind.key_block * 4
