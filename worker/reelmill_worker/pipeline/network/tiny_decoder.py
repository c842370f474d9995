"""The tiny decoder: latents to frames with a TAEHV network, in chunks that carry one frame of memory.

The architecture is taew2_1 of madebyollin/taehv (MIT, commit 1f14a568); the code is ours. Each latent frame becomes
four frames, and the first three of the clip are dropped: 21 -> 84 -> 81.

Letters: t latent frames, f frames, c channels, h and w sizes on the current level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.network.plan import RenderPlan

TRIMMED_FRAMES = 3
"""Frames at the start that stand for no time: the first latent covers one frame, not four."""
MEMORIES_A_LEVEL = 3
"""Memory blocks on each of the three levels."""

Memory = tuple[Tensor, ...]
"""The last input of each memory block: (1, c, h, w) each."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBlock:
    """Three convolutions over a frame and the frame before it, with a skip.

    Attributes:
        convs: (weight, bias) of each; the first takes 2 c channels, the frame's and then the past's.
    """

    convs: tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True, slots=True, eq=False)
class DecoderLevel:
    """One resolution: three memory blocks, doubling of the size, growth in time, and a convolution to fewer channels.

    Attributes:
        grow: (frames x c, c, 1, 1); its first axis tells by how much time grows.
        conv: (c', c, 3, 3), no bias.
    """

    blocks: tuple[MemoryBlock, ...]
    grow: Tensor
    conv: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TinyWeights:
    """All weights of the decoder, in its dtype; nothing but the number of levels is taken for granted."""

    first: tuple[Tensor, Tensor]
    levels: tuple[DecoderLevel, ...]
    last: tuple[Tensor, Tensor]


class TinyDecoder:
    """A loaded decoder."""

    def __init__(self, weights: TinyWeights, plan: RenderPlan) -> None:
        """Take loaded weights; `load` makes them from a file."""
        self._weights = weights
        self._plan = plan
        # Rounded where the plain code rounds: without this the compiler keeps float32 between two operations, and one
        # code in eight comes out otherwise (our measurement, H100).
        options: dict[str, str | int | bool | Callable[..., object]] = {"emulate_precision_casts": True}
        compiled = torch.compile(decode_chunk, fullgraph=True, dynamic=False, options=options)
        self._run = compiled if plan.compile else decode_chunk

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], *, plan: RenderPlan) -> TinyDecoder:
        """Load a TAEHV file; its widths are whatever its tensors have.

        Raises:
            InvalidModel: A tensor is missing or does not fit its neighbours.
        """
        dtype = torch.float16 if plan.device == "cuda" else torch.float32
        return cls(_Reader(tensors, plan.device, dtype).weights(), plan)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Return all frames of normalised latents, (1, 16, t, h / 8, w / 8), at once: (f, h, w, 3) uint8."""
        return torch.cat(list(self.decode_chunks(latents)))

    @torch.inference_mode()
    def decode_chunks(self, latents: Tensor) -> Iterator[Tensor]:
        """Yield the frames in order, a chunk of the plan's size at a time; each (f, h, w, 3) uint8."""
        x = latents[0].transpose(0, 1).to(self._plan.device, self._weights.first[0].dtype)  # (t, c, h, w)
        x = x.contiguous(memory_format=torch.channels_last)
        memory = self._blank(x)
        size = min(self._plan.decode_chunk, x.shape[0])
        for start in range(0, x.shape[0], size):
            chunk = x[start : start + size]
            missing = size - chunk.shape[0]
            if missing:
                # Every chunk has one shape, so one compiled graph: what comes after the end changes nothing before it.
                chunk = torch.cat([chunk, chunk[-1:].expand(missing, -1, -1, -1)])
                chunk = chunk.contiguous(memory_format=torch.channels_last)
            frames, memory = self._run(self._weights, chunk, memory)
            rate = frames.shape[0] // size
            yield frames[TRIMMED_FRAMES if start == 0 else 0 : frames.shape[0] - missing * rate]

    def _blank(self, x: Tensor) -> Memory:
        height, width = x.shape[2:]
        blank: list[Tensor] = []
        for step, level in enumerate(self._weights.levels):
            shape = (1, level.grow.shape[1], height << step, width << step)
            blank += [
                torch.zeros(shape, dtype=x.dtype, device=x.device).contiguous(memory_format=torch.channels_last)
                for _ in level.blocks
            ]
        return tuple(blank)


def decode_chunk(weights: TinyWeights, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Decode some latent frames, given what the memory blocks saw last; return frames and the new memory.

    Args:
        weights: Weights of the decoder.
        x: (t, 16, h, w), channels last.
        memory: One entry for each memory block, in order; zeros before the first frame.

    Returns:
        (f, h, w, 3) uint8, and the memory for the next chunk.
    """
    kept: list[Tensor] = []
    x = 3 * torch.tanh(x / 3)
    x = F.relu(F.conv2d(x, *weights.first, padding=1))
    for level in weights.levels:
        for block in level.blocks:
            past = memory[len(kept)]
            kept.append(x[-1:].clone(memory_format=torch.channels_last))
            x = _remember(block, x, past)
        x = _grow(x, level.grow)
        x = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), level.conv, padding=1)
    x = F.conv2d(F.relu(x), *weights.last, padding=1)  # (f, 3, h, w)
    x = (x.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return x.permute(0, 2, 3, 1).contiguous(), tuple(kept)


def _remember(block: MemoryBlock, x: Tensor, past: Tensor) -> Tensor:
    before = torch.cat([past, x[:-1]])
    (first, second, third) = block.convs
    y = F.relu(F.conv2d(torch.cat([x, before], dim=1), *first, padding=1))
    y = F.relu(F.conv2d(y, *second, padding=1))
    return F.relu(F.conv2d(y, *third, padding=1) + x)


def _grow(x: Tensor, weight: Tensor) -> Tensor:
    """Make each frame one or more frames by a 1 x 1 convolution whose channels are frames x c.

    The reference does this after doubling the size; a 1 x 1 convolution gives each of the four copies of a pixel the
    same value, so doing it before is equal, at a quarter of the work.
    """
    c = weight.shape[1]
    x = F.conv2d(x, weight)  # (t, frames c, h, w)
    return x.reshape(-1, c, *x.shape[2:]).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes the decoder out of a TAEHV file: `decoder.<place in the reference's nn.Sequential>.…`."""

    tensors: Mapping[str, Tensor]
    device: str
    dtype: torch.dtype

    def weights(self) -> TinyWeights:
        place = iter(count(3))
        first = (self._get("decoder.1.weight"), self._get("decoder.1.bias"))
        levels = tuple(self._level(next_places(place, MEMORIES_A_LEVEL + 3)) for _ in range(3))
        # An activation, then the last convolution.
        end = next_places(place, 2)[1]
        last = (self._get(f"decoder.{end}.weight"), self._get(f"decoder.{end}.bias"))
        weights = TinyWeights(first=first, levels=levels, last=last)
        _check(weights)
        return weights

    def _level(self, places: Sequence[int]) -> DecoderLevel:
        # Memory blocks, then doubling (no weights), growth, convolution.
        *blocks, _, grow, conv = places
        return DecoderLevel(
            blocks=tuple(self._block(place) for place in blocks),
            grow=self._get(f"decoder.{grow}.conv.weight"),
            conv=self._get(f"decoder.{conv}.weight"),
        )

    def _block(self, place: int) -> MemoryBlock:
        names = [f"decoder.{place}.conv.{step}" for step in (0, 2, 4)]
        return MemoryBlock(tuple((self._get(f"{name}.weight"), self._get(f"{name}.bias")) for name in names))

    def _get(self, name: str) -> Tensor:
        try:
            tensor = self.tensors[name]
        except KeyError:
            raise InvalidModel(
                f"the tiny decoder's file has no tensor {name!r}; use taew2_1.safetensors or a file of its layout"
            ) from None
        tensor = tensor.to(self.device, self.dtype)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def next_places(place: Iterator[int], number: int) -> list[int]:
    """Take the next places of the sequence."""
    return [next(place) for _ in range(number)]


def _check(weights: TinyWeights) -> None:
    channels = weights.first[0].shape[0]
    for number, level in enumerate(weights.levels):
        wanted = {
            "memory block": ((level.blocks[0].convs[0][0].shape[1]), 2 * channels),
            "growth": (level.grow.shape[1], channels),
            "growth's channels modulo": (level.grow.shape[0] % channels, 0),
            "convolution": (level.conv.shape[1], channels),
        }
        for part, (got, want) in wanted.items():
            if got != want:
                raise InvalidModel(f"tiny decoder, level {number}: {part} takes {got} channels, wanted {want}")
        channels = level.conv.shape[0]
    if weights.last[0].shape[:2] != (3, channels):
        raise InvalidModel(
            f"tiny decoder: the last convolution is {tuple(weights.last[0].shape)}, wanted (3, {channels})"
        )
