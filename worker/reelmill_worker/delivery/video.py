"""Clips as files: H.264 in MP4 with the recipe in its tags, and reading them back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from reelmill_common.errors import InvalidDocument, InvalidSettings, NotFound, RenderFailed
from reelmill_common.provenance.plain_marks import AI_GENERATED, DIGITAL_SOURCE_TYPE, xmp_box
from reelmill_common.text.untrusted_json import read_object
from reelmill_worker.delivery.encoders import Encoder
from reelmill_worker.delivery.mp4_boxes import room_for, tag_boxes, title_of, top_boxes, write_tags

Planes = NDArray[np.uint8]
"""YUV 4:2:0 as `pipeline.yuv` makes it: (frames, height * 3 / 2, width), BT.709, limited range."""
Pictures = NDArray[np.uint8]
"""RGB, (frames, height, width, 3), 0 to 255."""

X264 = Encoder()
TAGS = {
    "prompt": ("spec", "prompt"),
    "seed": ("spec", "seed"),
    "sampler": ("spec", "sampler"),
    "model_hash": ("model_hash",),
    "job_id": ("job", "job_id"),
}
"""Tags of their own, beside the prompt as title and description and the recipe in `comment`. Name: place in it."""


def write_clip(planes: Planes, path: Path, *, fps: int, recipe: Mapping[str, Any], encoder: Encoder = X264) -> None:
    """Write planes as an MP4 with the index in front, so that it plays while it loads. No value is converted.

    Equal planes, encoder and thread count give equal bytes.

    Args:
        planes: (n, height * 3 / 2, width) uint8, sides even; see `Planes`.
        path: A real file: the index is moved to the front by reading the file again.
        fps: Frames a second.
        recipe: JSON values; see `TAGS` for what is also shown by itself.
        encoder: Codec and options.

    Raises:
        InvalidSettings: The encoder is unknown here, or refuses its options.
        RenderFailed: The encoder or the disk failed while writing.
    """
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    tags = tag_boxes(_tags(recipe)) + xmp_box(_system(recipe))
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = room_for(tags)
            stream = _open_encoder(container, fps, encoder)
            stream.width, stream.height = width, height
            for index, picture in enumerate(planes):
                container.mux(stream.encode(_timed(picture, index, fps)))
                if index == 0 and encoder.codec == "libsvtav1":  # its threads are there now
                    _leave_real_time()
            container.mux(stream.encode(None))
        with path.open("r+b") as file:
            write_tags(file, tags)
    except (av.error.FFmpegError, OSError, ValueError) as err:
        if isinstance(err, OSError) and err.errno in _DISK_ERRORS:
            raise RenderFailed(f"{path} cannot be written: {err}; look at the disk of the spool folder") from err
        raise InvalidSettings(
            f"encoder {encoder.codec} (preset {encoder.preset!r}, crf {encoder.crf}) cannot encode "
            f"{width}x{height}: {err}; "
            f"set REELMILL_VIDEO_CODEC=libx264 and REELMILL_VIDEO_PRESET=veryfast"
        ) from err


def _leave_real_time() -> None:
    """Bring this process' threads back to the usual class of scheduling.

    SVT-AV1 puts its threads and its caller into a real-time class where it may, as root: they would starve the render.
    """
    for thread in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it has ended
            if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


_DISK_ERRORS = {2, 5, 13, 27, 28, 30}
"""ENOENT, EIO, EACCES, EFBIG, ENOSPC, EROFS."""


def as_video_frame(planes: NDArray[np.uint8]) -> av.VideoFrame:
    """Wrap the planes of one frame, (height * 3 / 2, width), tagged as what they are."""
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.color_range, frame.colorspace = ColorRange.MPEG, Colorspace.ITU709
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return frame


def _timed(planes: NDArray[np.uint8], index: int, fps: int) -> av.VideoFrame:
    frame = as_video_frame(planes)
    frame.pts, frame.time_base = index, Fraction(1, fps)
    return frame


def _open_encoder(container: Any, fps: int, encoder: Encoder) -> Any:
    stream = container.add_stream(encoder.codec, rate=fps, options=encoder.options())
    context = stream.codec_context
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, fps)
    context.thread_count = encoder.threads
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    if encoder.codec == "libx265":
        context.codec_tag = "hvc1"  # else QuickTime and Safari do not play it
    return stream


def _tags(recipe: Mapping[str, Any]) -> dict[str, str]:
    prompt = str(recipe.get("spec", {}).get("prompt", ""))
    tags = {"title": title_of(prompt), "description": prompt, "encoder": "Reelmill", "genre": AI_GENERATED}
    tags["digital_source_type"] = DIGITAL_SOURCE_TYPE
    tags["comment"] = json.dumps(recipe, sort_keys=True, ensure_ascii=False)
    for name, place in TAGS.items():
        value: Any = recipe
        for key in place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            tags[name] = str(value)
    return tags


def _system(recipe: Mapping[str, Any]) -> str:
    return str(recipe.get("spec", {}).get("profile", ""))


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe that `write_clip` put into a file.

    Raises:
        NotFound: The file is not a video, or has no recipe.
    """
    with _open(path) as container:
        text = container.metadata.get("comment", "")
    try:
        return read_object(text, "its tag `comment`")
    except InvalidDocument as err:
        raise NotFound(f"{path} has no recipe in its tags ({err}); only clips made here have one") from err


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The properties of a clip's file.

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
    """Return the properties of a clip's file.

    Raises:
        NotFound: The file is absent or not a video.
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


def read_frames(path: Path) -> Pictures:
    """Decode a clip: (n, height, width, 3) uint8 RGB.

    Raises:
        NotFound: The file is absent or not a video.
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
    kinds = [kind for kind in top_boxes(path) if kind in (b"moov", b"mdat")]
    return kinds[:1] == [b"moov"]
