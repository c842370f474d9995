"""RGB frames as video planes: YUV 4:2:0, BT.709, limited range, chroma where H.264 takes it to be.

Shapes: n frames, h and w the picture's sides, both even. Planes are I420: the rows of Y, then all of U, then all of V.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

KR, KB = 0.2126, 0.0722
"""Weights of red and blue in luma; green has the rest (ITU-R BT.709-6, item 3.2)."""
SHIFT = 16
"""Fixed point: with integers the planes are equal to the bit on every device, compiled or not."""
TAPS_SHIFT = 3
"""The chroma filter's weights add up to 8."""


def _fixed(red: float, blue: float, total: float) -> tuple[int, int, int]:
    """Weights of R, G, B in fixed point. Green takes what rounding leaves, so that greys come out exactly."""
    one = 1 << SHIFT
    r, b = round(red * one), round(blue * one)
    return r, round(total * one) - r - b, b


# 219 and 224 steps of 255 for luma and chroma (BT.709-6, item 4.6); 2 (1 - K) spans each colour difference.
LUMA = _fixed(KR * 219 / 255, KB * 219 / 255, 219 / 255)
BLUE_DIFFERENCE = _fixed(-KR / (2 * (1 - KB)) * 224 / 255, 0.5 * 224 / 255, 0)
RED_DIFFERENCE = _fixed(0.5 * 224 / 255, -KB / (2 * (1 - KR)) * 224 / 255, 0)


def to_yuv420(frames: Tensor) -> Tensor:
    """Turn RGB into planes, each value rounded to the nearest.

    Chroma samples lie on the left luma column of their pair and between its two rows (`chroma_sample_loc_type` 0, what
    H.264 players assume): weights 1 2 1 across and 1 1 down, the border repeated.

    Args:
        frames: (n, h, w, 3) uint8, 0 to 255.

    Returns:
        (n, h * 3 / 2, w) uint8 on the same device: Y 16 to 235, U and V 16 to 240.
    """
    n, h, w, _ = frames.shape
    rgb = frames.to(torch.int32)
    rows = rgb[:, ::2] + rgb[:, 1::2]  # (n, h / 2, w, 3)
    even, odd = rows[:, :, ::2], rows[:, :, 1::2]  # (n, h / 2, w / 2, 3)
    before = torch.cat([even[:, :, :1], odd[:, :, :-1]], dim=2)
    taps = before + 2 * even + odd
    planes = (
        _weighted(rgb, LUMA, offset=16, shift=SHIFT),
        _weighted(taps, BLUE_DIFFERENCE, offset=128, shift=SHIFT + TAPS_SHIFT),
        _weighted(taps, RED_DIFFERENCE, offset=128, shift=SHIFT + TAPS_SHIFT),
    )
    return torch.cat([plane.flatten(1) for plane in planes], dim=1).view(n, h * 3 // 2, w)


def converter(*, compiled: bool) -> Callable[[Tensor], Tensor]:
    """Return `to_yuv420`, as one kernel for chunks of any length if `compiled`."""
    return torch.compile(to_yuv420, fullgraph=True, dynamic=True) if compiled else to_yuv420


def _weighted(rgb: Tensor, weights: tuple[int, int, int], *, offset: int, shift: int) -> Tensor:
    """Weigh the last axis of (…, 3); at most 2040 * 2**16 * 1 + 128 * 2**19, which int32 holds."""
    r, g, b = weights
    total = r * rgb[..., 0] + g * rgb[..., 1] + b * rgb[..., 2]
    return ((total + (offset << shift) + (1 << (shift - 1))) >> shift).to(torch.uint8)
