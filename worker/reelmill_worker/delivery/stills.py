"""Pictures of a clip for people to look at before they play it: a poster, and a small moving preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

from reelmill_common.provenance.plain_marks import AI_GENERATED, xmp_packet
from reelmill_worker.delivery.video import Planes, as_video_frame

POSTER_QUALITY = 88
PREVIEW_SIDE = 320
"""Pixels of a preview's longer side."""
PREVIEW_EVERY = 3
"""Every third frame: 27 of 81, five and a third a second at 16 fps."""
PREVIEW_QUALITY = 50


def write_poster(planes: NDArray[np.uint8], path: Path, *, system: str = "") -> None:
    """Write one frame, (height * 3 / 2, width) as `Planes` has it, as a JPEG, marked as made by the model `system`."""
    marks: dict[str, Any] = {"xmp": xmp_packet(system), "exif": _exif(), "comment": AI_GENERATED.encode()}
    Image.fromarray(to_rgb(planes)).save(path, "JPEG", quality=POSTER_QUALITY, optimize=True, **marks)


def write_preview(planes: Planes, path: Path, *, fps: int, system: str = "") -> None:
    """Write every third frame, made smaller, as a WebP that repeats for ever and takes as long as the clip.

    It is marked like a poster.
    """
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    scale = min(1.0, PREVIEW_SIDE / max(width, height))
    size = (round(width * scale), round(height * scale))
    first, *others = (Image.fromarray(to_rgb(one, size)) for one in planes[::PREVIEW_EVERY])
    first.save(
        path,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=round(1000 * PREVIEW_EVERY / fps),
        loop=0,
        quality=PREVIEW_QUALITY,
        method=2,  # of 0 to 6: above it the encoder takes twice the time for a few percent of the bytes
        xmp=xmp_packet(system),
        exif=_exif(),
    )


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[Base.ImageDescription] = AI_GENERATED
    exif[Base.Software] = "Reelmill"
    return exif


def to_rgb(planes: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Convert the planes of one frame to (height, width, 3), scaled to `size` (width, height) if given."""
    width, height = size or (planes.shape[1], planes.shape[0] * 2 // 3)
    picture = as_video_frame(planes).reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA if size else Interpolation.BILINEAR,
    )
    return picture.to_ndarray().astype(np.uint8, copy=False)
