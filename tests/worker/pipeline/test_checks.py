import pytest
import torch
from torch import Tensor

from reelmill_common.errors import BadOutput
from reelmill_worker.pipeline.checks import FrameWatch, check_finite, finite_flag


def moving_frames(count: int) -> Tensor:
    """A bright bar that moves by a pixel a frame."""
    frames = torch.full((count, 32, 48, 3), 20, dtype=torch.uint8)
    for index in range(count):
        frames[index, :, index : index + 8] = 200
    return frames


def judge(frames: Tensor, *, wanted: int, chunk: int = 4) -> None:
    watch = FrameWatch()
    for start in range(0, len(frames), chunk):
        watch.look(frames[start : start + chunk])
    watch.judge(wanted)


def test_a_moving_clip_passes_in_chunks_of_any_size() -> None:
    for chunk in (1, 4, 9):
        judge(moving_frames(9), wanted=9, chunk=chunk)


def test_a_single_frame_need_not_move() -> None:
    judge(moving_frames(1), wanted=1)


def test_a_clip_with_missing_frames_is_refused() -> None:
    with pytest.raises(BadOutput, match="gave 8 frames where 9 are wanted"):
        judge(moving_frames(8), wanted=9)


def test_a_decoder_that_gives_nothing_is_refused() -> None:
    with pytest.raises(BadOutput, match="gave 0 frames"):
        FrameWatch().judge(9)


def test_a_black_clip_is_refused() -> None:
    with pytest.raises(BadOutput, match="100% of the frames are black"):
        judge(torch.full((9, 32, 48, 3), 3, dtype=torch.uint8), wanted=9)


def test_a_clip_that_goes_black_after_a_third_is_refused_and_a_fade_from_black_is_not() -> None:
    gone, fade = moving_frames(9), moving_frames(9)
    gone[3:] = 0
    fade[:2] = 0

    judge(fade, wanted=9)
    with pytest.raises(BadOutput, match="67% of the frames are black"):
        judge(gone, wanted=9)


def test_a_frozen_clip_is_refused() -> None:
    with pytest.raises(BadOutput, match=r"frozen: frames change by at most 0\.0000"):
        judge(moving_frames(1).expand(9, -1, -1, -1), wanted=9)


def test_motion_across_a_chunk_border_counts() -> None:
    frames = moving_frames(2).repeat_interleave(4, dim=0)

    judge(frames, wanted=8, chunk=4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_value_that_is_not_finite_spoils_the_latents(bad: float) -> None:
    latents = torch.zeros(1, 16, 3, 4, 6)
    check_finite(finite_flag(latents))
    latents[0, 3, 1, 2, 5] = bad

    with pytest.raises(BadOutput, match="NaN or infinity"):
        check_finite(finite_flag(latents))
