"""Model profiles: which shapes each accepts, so that a producer can refuse a job without the model."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKENS = 512
"""Text length of the Wan transformer, in tokens (config `text_len`)."""
TINY = "tiny"
"""Name of the profile that is made locally and renders on a CPU."""
TINY_NOTE = (
    "The tiny profile knows a small world: coloured things that move over a floor at a time of day, in soft outlines. "
    "It ignores other words."
)
"""Note for people who see its clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model profile renders. Its name is also that of its lane (its queue).

    Attributes:
        name: As written in jobs and in `REELMILL_PROFILE`.
        sizes: The menu of (width, height) in pixels; each is compiled and warmed once, others are refused.
        lengths: The menu of clip lengths in frames, each 4k + 1.
        fps: Frames per second that the model was trained for.
        repo: Hugging Face repository of the weights, or None for a profile that is made locally.
    """

    name: str
    sizes: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]
    fps: int
    repo: str | None

    @property
    def default_size(self) -> tuple[int, int]:
        """Default width and height of a job, in pixels."""
        return self.sizes[0]

    @property
    def default_frames(self) -> int:
        """Default clip length of a job, in frames."""
        return self.lengths[-1]


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="fastwan-qad-fp8",
            # 448 lines: the shape of the data that the family was distilled on, with 61 frames (FastVideo's preset of
            # FastWan 2.1); 77 frames: what QAD's own two stages trained with (scenario/qad_wan2_1_mixkit).
            sizes=((832, 480), (480, 832), (624, 624), (832, 448), (448, 832)),
            lengths=(33, 49, 61, 77, 81),
            fps=16,
            repo="FastVideo/FastWan-QAD-FP8-1.3B",
        ),
        # Same classes and file layout, a few MB, small trained weights: what a machine without a GPU runs.
        Profile(name=TINY, sizes=((128, 80), (80, 128)), lengths=(5, 9, 17, 33, 49, 61, 77, 81), fps=16, repo=None),
    )
}
