"""Frames to files on a CPU: x264 from planes and from RGB, and what each preset and CRF costs. Run it by itself.

    python benchmarks/frames.py

The clip is synthetic: 81 frames of 832x480 with a camera that drifts over a textured landscape, edges that move in
front of it, and film grain. The RGB way is what the worker did before: swscale to yuv420p, frame by frame.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from reelmill_worker.delivery.encoders import Encoder
from reelmill_worker.delivery.stills import write_preview
from reelmill_worker.delivery.video import write_clip
from reelmill_worker.host.supervisor import encoder_threads
from reelmill_worker.pipeline.yuv import to_yuv420

FRAMES, HEIGHT, WIDTH, FPS = 81, 480, 832, 16
ROUNDS = 3
THREADS = encoder_threads(1)

Pixels = NDArray[np.uint8]


def clip() -> torch.Tensor:
    """Draw the clip: (81, 480, 832, 3) uint8."""
    generator = torch.Generator().manual_seed(1)
    ground = sum(
        torch.nn.functional.interpolate(
            torch.rand((1, 3, 2**octave, 2**octave), generator=generator), size=(640, 1152), mode="bicubic"
        )
        * 0.6**octave
        for octave in range(2, 9)
    )
    assert isinstance(ground, torch.Tensor)
    ground = (ground[0] - ground.min()) / (ground.max() - ground.min()) * 255
    frames = torch.empty((FRAMES, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    for index in range(FRAMES):
        left, top = 3 * index, index
        view = ground[:, top : top + HEIGHT, left : left + WIDTH].permute(1, 2, 0).clone()
        x = 40 + 7 * index
        view[160:360, x : x + 120] = torch.tensor([210.0, 60.0, 40.0])
        view += torch.randn(view.shape, generator=generator) * 2
        frames[index] = view.clamp(0, 255).to(torch.uint8)
    return frames


def write_from_rgb(frames: Pixels, path: Path, encoder: Encoder) -> None:
    """Encode as the worker did before: the same options, and a conversion of every frame."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(encoder.codec, rate=FPS, options=encoder.options())
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = encoder.threads
        stream.codec_context.time_base = Fraction(1, FPS)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p",
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                dst_colorspace=Colorspace.ITU709,
            )
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Return the least of some rounds: seconds on the wall, seconds of CPU."""
    walls, cores = [], []
    for _ in range(ROUNDS):
        wall, core = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)
    return min(walls), min(cores)


def luma_psnr(path: Path, planes: Pixels) -> float:
    """Return the mean over frames, in dB."""
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray()[:HEIGHT] for frame in container.decode(video=0)]
    errors = [np.mean((one.astype(float) - want[:HEIGHT]) ** 2) for one, want in zip(decoded, planes, strict=True)]
    return statistics.mean(10 * np.log10(255**2 / error) for error in errors)


def main() -> None:
    frames = clip()
    started = time.perf_counter()
    planes = torch.cat([to_yuv420(chunk) for chunk in frames.split(12)]).numpy()
    print(f"to_yuv420 on this CPU, {torch.get_num_threads()} threads: {time.perf_counter() - started:.2f} s a clip")
    with tempfile.TemporaryDirectory() as temp:
        path = Path(temp) / "clip.mp4"
        compare(frames.numpy(), planes, path)
        table(planes, path)
        wall, core = timed(lambda: write_preview(planes, path.with_suffix(".webp"), fps=FPS))
        print(f"preview: {wall:.2f} s, {core:.2f} s of CPU, {path.with_suffix('.webp').stat().st_size:,} bytes")


def compare(frames: Pixels, planes: Pixels, path: Path) -> None:
    print(f"\nx264, {THREADS} threads     from RGB: wall CPU bytes     from planes: wall CPU bytes     ratios")
    for preset in ("ultrafast", "superfast", "veryfast"):
        encoder = Encoder(preset=preset, threads=THREADS)
        rgb = *timed(lambda encoder=encoder: write_from_rgb(frames, path, encoder)), path.stat().st_size
        yuv = (
            *timed(lambda encoder=encoder: write_clip(planes, path, fps=FPS, recipe={}, encoder=encoder)),
            (path.stat().st_size),
        )
        measurements = [f"{wall:.3f} s {core:.3f} s {size:,}" for wall, core, size in (rgb, yuv)]
        print(
            f"{preset:10}", *measurements, *(f"{new / old:.2f}" for new, old in zip(yuv, rgb, strict=True)), sep="   "
        )


def table(planes: Pixels, path: Path) -> None:
    print("\npreset, CRF, wall s, CPU s, bytes, PSNR of luma dB")
    for preset in ("ultrafast", "superfast", "veryfast", "faster", "medium"):
        for crf in (16, 18, 20, 23):
            encoder = Encoder(preset=preset, crf=crf, threads=THREADS)
            wall, core = timed(lambda encoder=encoder: write_clip(planes, path, fps=FPS, recipe={}, encoder=encoder))
            print(preset, crf, f"{wall:.2f} {core:.2f} {path.stat().st_size:,} {luma_psnr(path, planes):.1f}")


if __name__ == "__main__":
    main()
