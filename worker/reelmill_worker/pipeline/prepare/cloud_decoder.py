"""Weights for the tiny decoder that turn any latents into soft moving clouds of colour.

Plain random weights would show grey static. These blur over space, carry light on from frame to frame, and mix the
channels at random, so a clip looks like something, moves, and compresses like a real one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLUR = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
POINT = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
AFTERGLOW = 0.8
"""Share of the frame before that a memory block adds."""
GAIN = (1 + AFTERGLOW) ** 3
"""The factor by which the three memory blocks of a level brighten what does not move."""
CONTRAST = 0.6
"""Found by eye: a colour then has a standard deviation of about 0.2 around the middle, of 1."""


def cloud_decoder(widths: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Return the tensors of a TAEHV decoder of the given four widths, under the names of `taew2_1`."""
    clouds = _Clouds(generator=generator)
    first, second, third, last = widths
    return {
        "decoder.1.weight": clouds.mix(first, 16) * 2,
        "decoder.1.bias": torch.zeros(first),
        **clouds.memory(3, first),
        "decoder.7.conv.weight": torch.eye(first)[:, :, None, None],
        "decoder.8.weight": clouds.mix(second, first) * 2,
        **clouds.memory(9, second),
        "decoder.13.conv.weight": clouds.grow(second),
        "decoder.14.weight": clouds.mix(third, second) * 2 / GAIN,
        **clouds.memory(15, third),
        "decoder.19.conv.weight": clouds.grow(third),
        "decoder.20.weight": clouds.mix(last, third) * 2 / GAIN,
        "decoder.22.weight": clouds.mix(3, last) * CONTRAST,
        "decoder.22.bias": torch.full((3,), 0.5),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clouds:
    generator: torch.Generator

    def _random(self, rows: int, columns: int) -> Tensor:
        return torch.randn((rows, columns), generator=self.generator)

    def mix(self, out: int, into: int) -> Tensor:
        """Mix channels at random and blur. Rows sum to zero: inputs are all positive, and differences are wanted."""
        rows = self._random(out, into)
        rows = rows - rows.mean(dim=1, keepdim=True)
        return (rows / math.sqrt(into))[:, :, None, None] * BLUR

    def memory(self, start: int, width: int) -> dict[str, Tensor]:
        """Three memory blocks that add a blurred share of the frame before."""
        tensors: dict[str, Tensor] = {}
        for index in range(start, start + 3):
            past = torch.cat([self._random(width, width) * 0.02, torch.eye(width)], dim=1)
            weights = (past[:, :, None, None] * POINT, _diagonal(width, BLUR), _diagonal(width, POINT) * AFTERGLOW)
            for place, weight in zip((0, 2, 4), weights, strict=True):
                tensors[f"decoder.{index}.conv.{place}.weight"] = weight
                tensors[f"decoder.{index}.conv.{place}.bias"] = torch.zeros(width)
        return tensors

    def grow(self, width: int) -> Tensor:
        """Make two frames of one: the same, and one turned a little, so that there is motion within a latent."""
        turned = torch.eye(width) + self._random(width, width) * 0.3 / math.sqrt(width)
        return torch.cat([torch.eye(width), turned])[:, :, None, None]


def _diagonal(width: int, kernel: Tensor) -> Tensor:
    return torch.eye(width)[:, :, None, None] * kernel
