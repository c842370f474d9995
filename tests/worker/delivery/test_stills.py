"""Posters and previews."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reelmill_worker.delivery import stills
from reelmill_worker.delivery.video import Planes
from reelmill_worker.pipeline.yuv import to_yuv420

SAND, SEA = (220, 180, 90), (20, 80, 170)


@pytest.fixture
def planes() -> Planes:
    """17 frames of 640x384: sand on the left, sea on the right, and a tide that comes in by 16 pixels a frame."""
    pictures = np.empty((17, 384, 640, 3), np.uint8)
    for index in range(17):
        pictures[index, :, : 400 - 16 * index] = SAND
        pictures[index, :, 400 - 16 * index :] = SEA
    return to_yuv420(torch.from_numpy(pictures)).numpy()


def test_a_poster_is_a_jpeg_in_the_colours_of_the_frame(planes: Planes, tmp_path: Path) -> None:
    stills.write_poster(planes[8], tmp_path / "poster.jpg")

    with Image.open(tmp_path / "poster.jpg") as poster:
        assert (poster.format, poster.size) == ("JPEG", (640, 384))
        # The wrong matrix would miss by 10 and more.
        assert np.abs(np.array(poster.getpixel((100, 200))) - SAND).max() <= 4
        assert np.abs(np.array(poster.getpixel((500, 200))) - SEA).max() <= 4


def test_a_preview_is_a_small_moving_webp_as_long_as_the_clip(planes: Planes, tmp_path: Path) -> None:
    stills.write_preview(planes, tmp_path / "preview.webp", fps=16)

    with Image.open(tmp_path / "preview.webp") as preview:
        assert (preview.format, preview.size) == ("WEBP", (320, 192))
        assert preview.n_frames == 6
        preview.seek(0)
        first = np.array(preview.convert("RGB"))
        preview.seek(5)
        last = np.array(preview.convert("RGB"))
        assert preview.info["duration"] == 188
    assert np.abs(first[100, 150].astype(int) - SAND).max() <= 12
    assert np.abs(last[100, 150].astype(int) - SEA).max() <= 12
