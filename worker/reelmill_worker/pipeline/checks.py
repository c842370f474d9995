"""What every clip must pass before it is uploaded: the right length, finite, not black, not frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelmill_common.errors import BadOutput

GRID = 4
"""Every fourth pixel of every fourth row is looked at: a sixteenth of the work, and no blank picture slips through."""
BLACK_PEAK = 12
"""A frame whose brightest sample is at most this, of 255, is black. NaN decodes to 0; night scenes have highlights."""
MOST_BLACK = 0.5
"""Share of black frames that a clip may have: a fade from black is fine, black after the first second is not."""
LEAST_MOTION = 0.02
"""Mean change between frames, of 255, below which a clip counts as frozen: one sample in 50 changing by one step."""

NEUTRAL = 128
"""Chroma of a grey."""
STRONG_RED = 170
"""Red difference that only the canary's ball has."""
LEAST_BALL = 0.005
"""Share of chroma samples that the canary's ball covers at least."""


def finite_flag(latents: Tensor) -> Tensor:
    """Return whether all latents are finite, as a bool scalar on their device: reading it is the caller's sync."""
    return torch.isfinite(latents).all()


def check_finite(flag: Tensor) -> None:
    """Refuse latents that are not finite.

    Raises:
        BadOutput: At least one of them is NaN or infinite.
    """
    if not bool(flag):
        raise BadOutput("the latents hold NaN or infinity; the attention kernel or a GPU fault is the usual cause")


def check_known_picture(planes: NDArray[np.uint8]) -> None:
    """Refuse a canary of the trained tiny model that does not show a red ball over a green floor under a blue sky.

    Args:
        planes: (n, h * 3 / 2, w) of a picture that is wide, as `yuv.to_yuv420` makes them.

    Raises:
        BadOutput: It shows something else: the text, the weights or a kernel went wrong without a NaN.
    """
    n, rows, w = planes.shape
    blue, red = planes[:, rows * 2 // 3 :].reshape(n, 2, rows // 3, w // 2).swapaxes(0, 1)  # (n, h / 2, w / 2) each
    sky, floor = ((np.median(blue[:, part]), np.median(red[:, part])) for part in (slice(4), slice(-4, None)))
    found = {
        "blue sky": sky[0] > NEUTRAL > sky[1],
        "green floor": max(floor) < NEUTRAL,
        "red ball": np.mean(red > STRONG_RED) > LEAST_BALL,
    }
    if not all(found.values()):
        lacking = ", ".join(name for name, seen in found.items() if not seen)
        raise BadOutput(f"the canary's picture lacks what its prompt says: {lacking}")


@dataclass(slots=True)
class FrameWatch:
    """Looks at frames as they are decoded, on their device and without a sync, and judges at the end."""

    _peaks: list[Tensor] = field(default_factory=list[Tensor])
    _changes: list[Tensor] = field(default_factory=list[Tensor])
    _last: Tensor | None = None

    def look(self, frames: Tensor) -> None:
        """Take in the next frames, in order: (n, height, width, 3) uint8."""
        samples = frames[:, ::GRID, ::GRID].to(torch.int16)  # (n, h / 4, w / 4, 3)
        self._peaks.append(samples.flatten(1).amax(1))
        run = samples if self._last is None else torch.cat([self._last, samples])
        self._changes.append((run[1:] - run[:-1]).abs().flatten(1).float().mean(1))
        self._last = samples[-1:]

    def judge(self, wanted: int) -> None:
        """Refuse a clip that is too short, black or frozen.

        Args:
            wanted: Frames that there should be.

        Raises:
            BadOutput: The message has the reason and the numbers.
        """
        peaks = torch.cat(self._peaks).cpu() if self._peaks else torch.empty(0)
        if len(peaks) != wanted:
            raise BadOutput(f"the decoder gave {len(peaks)} frames where {wanted} are wanted")
        black = float((peaks <= BLACK_PEAK).float().mean())
        if black > MOST_BLACK:
            raise BadOutput(f"{black:.0%} of the frames are black (brightest sample {int(peaks.max())} of 255)")
        motion = float(torch.cat(self._changes).max()) if wanted > 1 else LEAST_MOTION
        if motion < LEAST_MOTION:
            raise BadOutput(f"the clip is frozen: frames change by at most {motion:.4f} of 255 on average")
