"""The video encoder of a worker: which one, with what options, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import numpy as np
import structlog

from reelmill_common.settings import Settings

log = structlog.get_logger(__name__)

SOFTWARE, HARDWARE = "libx264", "h264_nvenc"
NVENC_PRESET = "p5"
TRIAL_SIZE = (256, 144)
"""NVENC refuses pictures that are smaller than about 145 x 49 (NVENC programming guide, capabilities)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A video encoder with its options; goes into every recipe.

    Attributes:
        codec: PyAV encoder.
        preset: The encoder's own; libsvtav1 and NVENC have other names than x264 (see `options`).
        crf: Constant rate factor; NVENC's `cq`.
        threads: Encoder threads; 0 lets the encoder choose.
        reason: Why it is this one, if it was not asked for by name.
    """

    codec: str = SOFTWARE
    preset: str = "veryfast"
    crf: int = 18
    threads: int = 0
    reason: str = ""

    def options(self) -> dict[str, str]:
        """Return the encoder's own options for preset and quality.

        x264's preset names are kept for the encoders that have others: `veryfast` is 10 for SVT-AV1 and p5 for NVENC.
        """
        named = not self.preset.isdigit() and not self.preset.startswith("p")
        if self.codec == "libsvtav1":
            return {"preset": "10" if named else self.preset, "crf": str(self.crf)}
        if self.codec.endswith("_nvenc"):
            preset = NVENC_PRESET if named else self.preset
            return {"preset": preset, "rc": "vbr", "cq": str(self.crf), "b": "0"}
        if self.codec == "libx265":
            return {"preset": self.preset, "crf": str(self.crf), "x265-params": "log-level=error"}
        return {"preset": self.preset, "crf": str(self.crf)}

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: value for name, value in asdict(self).items() if value != ""}


def encoder_of(settings: Settings) -> Encoder:
    """Return the encoder that the settings ask for; `auto` is looked up once a process."""
    codec, reason = settings.video_codec, ""
    if codec == "auto":
        codec, reason = _best()
    return Encoder(
        codec=codec,
        preset=settings.video_preset,
        crf=settings.video_crf,
        threads=settings.video_threads,
        reason=reason,
    )


@cache
def _best() -> tuple[str, str]:
    error = problem_with(HARDWARE)
    codec = SOFTWARE if error else HARDWARE
    reason = f"{HARDWARE} does not work here: {error}" if error else f"auto: {HARDWARE} works here"
    log.info("encoder.chosen", codec=codec, reason=reason)
    return codec, reason


def problem_with(codec: str) -> str:
    """Encode a grey picture and return what went wrong, or nothing.

    The library lists NVENC wherever it was built with it, and a card may have no such unit (H100, A100), so only an
    encoder that was opened and gave a packet counts.
    """
    try:
        context: Any = av.CodecContext.create(codec, "w")
        context.width, context.height = TRIAL_SIZE
        context.pix_fmt = "yuv420p"
        context.framerate, context.time_base = Fraction(16), Fraction(1, 16)
        context.options = Encoder(codec=codec).options()
        picture = np.full((TRIAL_SIZE[1] * 3 // 2, TRIAL_SIZE[0]), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = 0, context.time_base
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError) as err:
        return f"{type(err).__name__}: {err}"
    return "" if any(packet.size for packet in packets) else "it gave no packet"
