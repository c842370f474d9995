"""What every clip must pass before it is uploaded: the right length, finite, not black, not frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
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
