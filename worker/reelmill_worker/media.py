"""Clips as files: H.264 in MP4 with the recipe in its tags, a poster, and reading both back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from PIL import Image

from reelmill_common.errors import InvalidSettings, NotFound, RenderFailed

Frames = NDArray[np.uint8]
"""RGB, (frames, height, width, 3), 0 to 255."""

POSTER_QUALITY = 88
TAGS = {
    "prompt": ("spec", "prompt"),
    "seed": ("spec", "seed"),
    "sampler": ("spec", "sampler"),
    "model_hash": ("model_hash",),
    "job_id": ("job", "job_id"),
}
"""Tags of their own, beside the whole recipe in `comment`: file managers and ffprobe show them. Name: place in it."""

NVENC_PRESET = "p5"


def write_clip(
    frames: Frames,
    path: Path,
    *,
    fps: int,
    recipe: Mapping[str, Any],
    codec: str = "libx264",
    preset: str = "veryfast",
    crf: int = 18,
    threads: int = 0,
) -> None:
    """Write frames as an MP4: yuv420p, BT.709, limited range, the index in front so that it plays while it loads.

    Equal frames, options and thread count give equal bytes.

    Args:
        frames: (n, height, width, 3) uint8, sides even.
        path: A real file: the index is moved to the front by reading the file again.
        fps: Frames a second.
        recipe: JSON values; see `TAGS` for what is also shown by itself.
        codec: PyAV encoder.
        preset: The encoder's own; libsvtav1 and NVENC have other names than x264 (see `encoder_options`).
        crf: Constant rate factor; NVENC's `cq`.
        threads: Encoder threads; 0 lets the encoder choose.

    Raises:
        InvalidSettings: The encoder is unknown here, or refuses its options.
        RenderFailed: The encoder or the disk failed while writing.
    """
    _, height, width, _ = frames.shape
    options = {"movflags": "+faststart+use_metadata_tags"}
    try:
        with av.open(str(path), "w", format="mp4", options=options) as container:
            container.metadata.update(_tags(recipe))
            stream = _open_encoder(container, codec, fps, encoder_options(codec, preset, crf), threads)
            stream.width, stream.height = width, height
            for index, picture in enumerate(frames):
                container.mux(stream.encode(_to_yuv(picture, index, fps)))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as err:
        if isinstance(err, OSError) and err.errno in _DISK_ERRORS:
            raise RenderFailed(f"{path} cannot be written: {err}; look at the disk of the spool folder") from err
        raise InvalidSettings(
            f"encoder {codec} (preset {preset!r}, crf {crf}) cannot encode {width}x{height}: {err}; "
            f"set REELMILL_VIDEO_CODEC=libx264 and REELMILL_VIDEO_PRESET=veryfast"
        ) from err


_DISK_ERRORS = {2, 5, 13, 27, 28, 30}
"""ENOENT, EIO, EACCES, EFBIG, ENOSPC, EROFS."""


def encoder_options(codec: str, preset: str, crf: int) -> dict[str, str]:
    """Return an encoder's own options for a preset and a quality.

    x264's preset names are kept for the encoders that have others: `veryfast` is 10 for SVT-AV1 and p5 for NVENC.
    """
    named = not preset.isdigit() and not preset.startswith("p")
    if codec == "libsvtav1":
        return {"preset": "10" if named else preset, "crf": str(crf)}
    if codec.endswith("_nvenc"):
        return {"preset": NVENC_PRESET if named else preset, "rc": "vbr", "cq": str(crf), "b": "0"}
    if codec == "libx265":
        return {"preset": preset, "crf": str(crf), "x265-params": "log-level=error"}
    return {"preset": preset, "crf": str(crf)}


def _open_encoder(container: Any, codec: str, fps: int, options: dict[str, str], threads: int) -> Any:
    stream = container.add_stream(codec, rate=fps, options=options)
    context = stream.codec_context
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, fps)
    context.thread_count = threads
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    if codec == "libx265":
        context.codec_tag = "hvc1"  # else QuickTime and Safari do not play it
    return stream


def _to_yuv(picture: NDArray[np.uint8], index: int, fps: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    # The converter's default is BT.601, which players of a BT.709 file would show with wrong greens and reds.
    frame = frame.reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
    )
    frame.pts, frame.time_base = index, Fraction(1, fps)
    return frame


def _tags(recipe: Mapping[str, Any]) -> dict[str, str]:
    tags = {"comment": json.dumps(recipe, sort_keys=True, ensure_ascii=False)}
    for name, place in TAGS.items():
        value: Any = recipe
        for key in place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            tags[name] = str(value)
    return tags


def write_poster(frame: NDArray[np.uint8], path: Path) -> None:
    """Write one frame, (height, width, 3) uint8, as a JPEG."""
    Image.fromarray(frame).save(path, "JPEG", quality=POSTER_QUALITY, optimize=True)


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe that `write_clip` put into a file.

    Raises:
        NotFound: The file is no video, or has no recipe.
    """
    with _open(path) as container:
        text = container.metadata.get("comment", "")
    try:
        recipe: object = json.loads(text)
    except ValueError as err:
        raise NotFound(f"{path} has no recipe in its tags; only clips made here have one") from err
    if not isinstance(recipe, dict):
        raise NotFound(f"{path} has no recipe in its tags; only clips made here have one")
    return recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a clip's file is.

    Attributes:
        frames: Counted, not taken from the header.
        fps: Frames a second.
        codec: As FFmpeg names it: h264, hevc, av1.
        colours: Range, matrix, primaries and transfer, as FFmpeg's numbers: (1, 1, 1, 1) is limited BT.709.
        index_first: Whether it plays while it loads.
        tags: The container's metadata.
    """

    frames: int
    fps: Fraction
    width: int
    height: int
    codec: str
    pixel_format: str
    colours: tuple[int, int, int, int]
    index_first: bool
    tags: Mapping[str, str]


def probe(path: Path) -> Probe:
    """Look at a clip's file.

    Raises:
        NotFound: The file is absent or no video.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        frames = sum(1 for packet in container.demux(stream) if packet.size)
        return Probe(
            frames=frames,
            fps=Fraction(stream.average_rate or 0),
            width=context.width,
            height=context.height,
            codec=context.codec.canonical_name,
            pixel_format=str(context.pix_fmt),
            colours=(
                int(context.color_range),
                int(context.colorspace),
                int(context.color_primaries),
                int(context.color_trc),
            ),
            index_first=_index_first(path),
            tags=dict(container.metadata),
        )


def read_frames(path: Path) -> Frames:
    """Decode a clip: (n, height, width, 3) uint8 RGB.

    Raises:
        NotFound: The file is absent or no video.
    """
    with _open(path) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(pictures).astype(np.uint8, copy=False)


def _open(path: Path) -> Any:
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as err:
        raise NotFound(f"{path} cannot be read as a video: {err}") from err
    if not container.streams.video:
        container.close()
        raise NotFound(f"{path} holds no video")
    return container


def _index_first(path: Path) -> bool:
    head = path.read_bytes()[:4096]
    index, pictures = head.find(b"moov"), head.find(b"mdat")
    return index >= 0 and (pictures < 0 or index < pictures)
