"""The autoencoder: an encoder that only training has, and the product's TAEHV decoder as a module that can learn.

Letters: b clips, t latent frames, f = 4 t - 3 frames, c channels, h and w sizes on the current level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT_CHANNELS = 16
FRAMES_A_LATENT = 4
TRIMMED_FRAMES = 3
WIDTHS = (64, 48, 32, 24)
"""The decoder's levels have these widths; the real one has 256, 128, 64, 64."""
MEMORIES_A_LEVEL = 3
GROWTHS = (1, 2, 2)
"""By how much time grows on each level."""


class MemoryBlock(nn.Module):
    """Three convolutions over a frame and the one before it, with a skip."""

    def __init__(self, width: int) -> None:
        """Make the block for a number of channels."""
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor, clips: int) -> Tensor:
        """Return (b t, c, h, w) of the same shape."""
        return F.relu(self.conv(torch.cat([x, _before(x, clips)], dim=1)) + x)


def _before(x: Tensor, clips: int) -> Tensor:
    """Return each frame's predecessor, and zeros for the first of each clip."""
    frames = x.unflatten(0, (clips, -1))
    shifted = torch.cat([torch.zeros_like(frames[:, :1]), frames[:, :-1]], dim=1)
    return shifted.flatten(0, 1).contiguous(memory_format=torch.channels_last)


class Growth(nn.Module):
    """One frame becomes one or two, by a 1 x 1 convolution whose channels are frames x c."""

    def __init__(self, width: int, frames: int) -> None:
        """Make the growth from one frame to some."""
        super().__init__()
        self.conv = nn.Conv2d(width, frames * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (frames b t, c, h, w), each frame's own in order."""
        grown: Tensor = self.conv(x)
        return grown.reshape(-1, x.shape[1], *x.shape[2:]).contiguous(memory_format=torch.channels_last)


class Decoder(nn.Module):
    """The product's tiny decoder with gradients; its state has the names of the file."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Make the decoder; the places are those in the released network's sequence."""
        super().__init__()
        self.decoder = nn.ModuleDict({"1": nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)})
        place = 3
        for width, wider, frames in zip(widths, widths[1:], GROWTHS, strict=False):
            for index in range(MEMORIES_A_LEVEL):
                self.decoder[str(place + index)] = MemoryBlock(width)
            self.decoder[str(place + 4)] = Growth(width, frames)
            self.decoder[str(place + 5)] = nn.Conv2d(width, wider, 3, padding=1, bias=False)
            place += MEMORIES_A_LEVEL + 3
        self.decoder[str(place + 1)] = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode (b, 16, t, h, w) to (b, f, 3, 8 h, 8 w), about 0 to 1, not clamped."""
        clips = latents.shape[0]
        x = latents.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        first, *layers = self.decoder.values()
        x = F.relu(first(3 * torch.tanh(x / 3)))
        *layers, last = layers
        for layer in layers:
            if isinstance(layer, MemoryBlock):
                x = layer(x, clips)
            elif isinstance(layer, Growth):
                x = F.interpolate(layer(x), scale_factor=2.0, mode="nearest")
            else:
                x = layer(x)
        frames: Tensor = last(F.relu(x))
        return frames.unflatten(0, (clips, -1))[:, TRIMMED_FRAMES:]


class Residual(nn.Module):
    """Two convolutions with a skip."""

    def __init__(self, width: int) -> None:
        """Make the block for a number of channels."""
        super().__init__()
        self.conv = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) of the same shape."""
        out: Tensor = self.conv(x)
        return x + out


class Encoder(nn.Module):
    """Four frames of 8 x 8 pixels to one latent of 16 channels with mean 0 and variance 1."""

    def __init__(self, width: int = 48) -> None:
        """Make the encoder."""
        super().__init__()
        self.frames = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            Residual(width),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            Residual(2 * width),
        )
        self.join = nn.Conv2d(FRAMES_A_LATENT * 2 * width, 4 * width, 4, stride=2, padding=1)
        self.mix = nn.Sequential(Residual(4 * width), Residual(4 * width), nn.ReLU())
        self.past = nn.Conv2d(8 * width, 4 * width, 3, padding=1)
        self.head = nn.Sequential(Residual(4 * width), nn.Conv2d(4 * width, LATENT_CHANNELS, 3, padding=1))
        # What a channel's mean and spread are belongs to the encoder: the transformer sees numbers of one size.
        self.norm = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.02)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode (b, f, 3, h, w) in 0 to 1 to (b, 16, t, h / 8, w / 8)."""
        clips = frames.shape[0]
        padded = torch.cat([frames[:, :1].expand(-1, TRIMMED_FRAMES, -1, -1, -1), frames], dim=1)
        x = (padded.flatten(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)
        x = self.frames(x)  # (4 b t, c, h / 4, w / 4)
        x = x.unflatten(0, (-1, FRAMES_A_LATENT)).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        x = self.mix(self.join(x))  # (b t, c, h / 8, w / 8)
        x = self.head(self.past(torch.cat([x, _before(x, clips)], dim=1)))
        latents: Tensor = self.norm(x.float())
        return latents.unflatten(0, (clips, -1)).transpose(1, 2)


def psnr(frames: Tensor, wanted: Tensor, where: Tensor | None = None) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of each clip: (b,).

    Args:
        frames: (b, f, 3, h, w).
        wanted: As frames.
        where: (b, f, h, w), the pixels that count; default: all.
    """
    error = ((frames.float().clamp(0, 1) - wanted.float()) ** 2).mean(2)
    weights = torch.ones_like(error) if where is None else where.float()
    mean = (error * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1)
    return -10 * torch.log10(mean.clamp(min=1e-10))
