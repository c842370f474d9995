"""Seeded noise, drawn on the CPU: the same seed gives the same bits on every GPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reelmill_common.jobs import RenderSpec, Sampler

LATENT_CHANNELS = 16
SPATIAL_STRIDE = 8
"""Pixels a side that one latent covers."""
TEMPORAL_STRIDE = 4
"""Frames that one latent covers, after the first, which covers one."""


def latent_size(spec: RenderSpec) -> tuple[int, int, int]:
    """Return a clip's latent (frames, height, width): 81 frames of 832x480 are (21, 60, 104)."""
    frames = (spec.frames - 1) // TEMPORAL_STRIDE + 1
    return frames, spec.height // SPATIAL_STRIDE, spec.width // SPATIAL_STRIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One clip's stream of noise. Drawing moves it on, so make a new one for each render.

    The layout in which a sampler draws decides which number lands where, so equal seeds differ between samplers:
    FastVideo's DMD pipeline draws (b, t, c, h, w), its WanPipeline (b, c, t, h, w). Source: FastVideo 2f3d4074,
    pipelines/stages/latent_preparation.py (`use_btchw_layout`) and input_validation.py (CPU generator).
    """

    generator: torch.Generator
    size: tuple[int, int, int]
    frames_first: bool

    @classmethod
    def seeded(cls, seed: int, size: tuple[int, int, int], sampler: Sampler) -> Noise:
        """Start the stream of a seed for a latent (frames, height, width)."""
        generator = torch.Generator("cpu").manual_seed(seed)
        return cls(generator=generator, size=size, frames_first=sampler == "dmd3")

    def initial(self) -> Tensor:
        """Draw the noise that a render starts from: (1, 16, t, h, w), float32, CPU, standard normal."""
        return self._draw()

    def again(self) -> Tensor:
        """Draw the noise that DMD adds between steps: (1, 16, t, h, w), bfloat16, CPU, standard normal.

        A bfloat16 draw equals the float32 draw of the same stream, rounded; so one stream serves both.
        """
        return self._draw().to(torch.bfloat16)

    def _draw(self) -> Tensor:
        frames, height, width = self.size
        if not self.frames_first:
            return torch.randn((1, LATENT_CHANNELS, frames, height, width), generator=self.generator)
        drawn = torch.randn((1, frames, LATENT_CHANNELS, height, width), generator=self.generator)
        return drawn.transpose(1, 2).contiguous()  # (1, 16, t, h, w)
