"""Writing a safetensors file tensor by tensor: the header is known before the values are, so none has to be kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float8_e4m3fn: "F8_E4M3"}
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}
ALIGNMENT = 8
"""The format wants the data to begin at a multiple of 8 bytes."""

Described = tuple[str, tuple[int, ...]]
"""A tensor's dtype in the format's spelling, and its shape."""


def write_safetensors(path: Path, described: Mapping[str, Described], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write a file whose tensors come one at a time.

    Args:
        path: The file.
        described: Dtype and shape of every tensor, in the order in which they come.
        tensors: Names and values, in that order.

    Raises:
        ValueError: A tensor is not the one that was described at its place.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in described.items():
        start, end = end, end + BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    expected = iter(described.items())
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors:
            if (name, (DTYPES.get(tensor.dtype), tuple(tensor.shape))) != next(expected, None):
                raise ValueError(f"{name} {tensor.dtype} {tuple(tensor.shape)} is not what was described at its place")
            stream.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        left = next(expected, None)
        if left is not None:
            raise ValueError(f"{left[0]} was described and did not come")
