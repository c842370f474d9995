"""Fake quantization: values rounded to what a format can hold, with gradients that pass straight through.

Letters: n channels out, k channels in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

E4M3_PEAK = 448.0
LEAST_SCALE = 1 / (448.0 * 512.0)
"""The least scale of e4m3, as the product has it (decision 0013)."""
QUANTIZED = re.compile(r"blocks\.\d+\.(attn[12]\.(to_[qkv]|to_out\.0)|ffn\.net\.(0\.proj|2))")
"""The ten linears of each block, by diffusers' names."""

Rounding = Callable[[Tensor], Tensor]


def none(x: Tensor) -> Tensor:
    """Return the values as they are."""
    return x


def e4m3_by_tensor(x: Tensor) -> Tensor:
    """Round to e4m3 with one scale, as FP8 QAT and the product do: through bfloat16, and the scale is not rounded."""
    narrow = x.to(torch.bfloat16)
    scale = (narrow.abs().amax().float() / E4M3_PEAK).clamp(min=LEAST_SCALE)
    codes = (narrow / scale.to(torch.bfloat16)).float().clamp(-E4M3_PEAK, E4M3_PEAK).to(torch.float8_e4m3fn)
    return (codes.float() * scale).to(x.dtype)


def e4m3_by_row(x: Tensor) -> Tensor:
    """Round to e4m3 with a scale for each row of the last axis."""
    wide = x.float()
    scale = (wide.abs().amax(-1, keepdim=True) / E4M3_PEAK).clamp(min=LEAST_SCALE)
    codes = (wide / scale).clamp(-E4M3_PEAK, E4M3_PEAK).to(torch.float8_e4m3fn)
    return (codes.float() * scale).to(x.dtype)


def _integers_by_row(x: Tensor, peak: int) -> Tensor:
    wide = x.float()
    scale = (wide.abs().amax(-1, keepdim=True) / peak).clamp(min=1e-8)
    return ((wide / scale).round().clamp(-peak, peak) * scale).to(x.dtype)


def int8_by_row(x: Tensor) -> Tensor:
    """Round to 255 steps with a scale a row."""
    return _integers_by_row(x, 127)


def int4_by_row(x: Tensor) -> Tensor:
    """Round to 15 steps with a scale a row: the hard case."""
    return _integers_by_row(x, 7)


FORMATS: Mapping[str, tuple[Rounding, Rounding]] = {
    "float": (none, none),
    "fp8": (e4m3_by_tensor, e4m3_by_row),
    "fp8-row": (e4m3_by_row, e4m3_by_row),
    "int8": (int8_by_row, int8_by_row),
    "int4": (int4_by_row, int4_by_row),
}
"""How each format rounds weights and activations. Activations have a scale a token, as the product multiplies them."""


class RoundedLinear(nn.Linear):
    """A linear whose weight and input are rounded on the way in, and learn as if they were not."""

    weights: Rounding = staticmethod(none)
    inputs: Rounding = staticmethod(none)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Multiply the rounded values."""
        return F.linear(_straight(input, self.inputs), _straight(self.weight, self.weights), self.bias)


def _straight(x: Tensor, rounding: Rounding) -> Tensor:
    return x if rounding is none else x + (rounding(x.detach()) - x.detach())


def set_format(transformer: Any, name: str) -> int:
    """Have the ten linears of each block compute in a format; return how many there are."""
    weights, inputs = FORMATS[name]
    found = 0
    for path, module in transformer.named_modules():
        if QUANTIZED.fullmatch(path):
            module.__class__ = RoundedLinear
            module.weights, module.inputs = weights, inputs
            found += 1
    return found
