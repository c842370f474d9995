"""Rotary position tables: how far each pair of channels of a query or key turns at its place in time, height and width.

Letters: l tokens in (t, h, w) order; d channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

THETA = 10000.0
"""Base of the frequencies. Source: Wan2.1 9737cba9, wan/modules/model.py `rope_params`."""


def axis_channels(head_dim: int) -> tuple[int, int, int]:
    """Return how many channels of a head encode (time, height, width): 128 gives 44, 42, 42."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def rope_tables(grid: tuple[int, int, int], head_dim: int, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of every pair's angle, each (l, d / 2) float32, -1 to 1.

    Angles are computed in float64 and stored in float32, as diffusers does: at token 1000 a float32 angle is off by
    6e-5 already.

    Args:
        grid: Patches in (time, height, width); positions start at 0 on each axis.
        head_dim: d, even.
        device: Where the tables go.
    """
    angles = [
        _axis_angles(length, channels) for length, channels in zip(grid, axis_channels(head_dim), strict=True)
    ]  # (length, channels / 2) each
    t, h, w = grid
    whole = torch.cat(
        [
            angles[0].view(t, 1, 1, -1).expand(t, h, w, -1),
            angles[1].view(1, h, 1, -1).expand(t, h, w, -1),
            angles[2].view(1, 1, w, -1).expand(t, h, w, -1),
        ],
        dim=-1,
    ).reshape(t * h * w, head_dim // 2)  # (l, d / 2)
    return whole.cos().float().to(device), whole.sin().float().to(device)


def _axis_angles(length: int, channels: int) -> Tensor:
    places = torch.arange(length, dtype=torch.float64)
    exponents = torch.arange(0, channels, 2, dtype=torch.float64) / channels
    return torch.outer(places, 1.0 / THETA**exponents)
