"""How well copies of clips are recognised after what platforms do to them, and how fast among a million others.

The clips are made here, since those of a test card are all alike: two fields of clouds that drift and blend, and discs
that cross them, each clip with its own. Each is encoded as a farm does, changed in 20 ways by FFmpeg, read as
`reelmill verify` does, and looked up among all clips and as many others. Prints a table. With all settings as they are,
1,000 clips take three hours of CPU. As root, SVT-AV1 gives its threads real-time priority and starves all others:
`setpriv --bounding-set=-sys_nice` before the command prevents that.

    python benchmarks/recognition.py --clips 1000 --others 1000
    python benchmarks/recognition.py --clips 0 --others 0 --search 1000000
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from reelmill_common.provenance.batch_index import read_index, write_index
from reelmill_common.provenance.fingerprint import Fingerprint, Hashes, hashed_frames
from reelmill_common.provenance.recognition import MOST_BITS, FarmIndex, Match, looks
from reelmill_producer.verification.reader import sample

FRAMES, HEIGHT, WIDTH, FPS = 81, 480, 832, 16
PRESET = "superfast"
"""x264's: the quality is told by the CRF; a slower one only makes a smaller file."""
Pictures = NDArray[np.uint8]
"""(frames, height, width, 3)."""
Views = dict[str, Hashes]
Disc = tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.float64]]
"""Place and way as shares of the picture, radius as a share of its height, colour."""


def draw(seed: int, numbers: Sequence[int] = range(FRAMES)) -> Pictures:
    """Draw frames of a clip that is like no other."""
    dice = np.random.default_rng(seed)
    fields = [_clouds(dice) for _ in range(2)]
    speeds, turn = dice.uniform(-1.5, 1.5, (2, 2)), dice.uniform(0.2, 1.2)
    tint = dice.uniform(0.4, 1.0, (2, 3)).astype(np.float32)
    discs = [(dice.uniform(0, 1, 2), dice.uniform(-0.5, 0.5, 2), dice.uniform(0.04, 0.2), dice.uniform(0, 255, 3))
             for _ in range(dice.integers(0, 5))]  # fmt: skip
    pictures = []
    for number in numbers:
        t = number / FRAMES
        share = float(0.5 + 0.5 * np.sin(2 * np.pi * (turn * t)))
        moved = [
            np.roll(field, tuple(np.round(speed * number).astype(int)), (0, 1))[: HEIGHT // 2, : WIDTH // 2]
            for field, speed in zip(fields, speeds, strict=True)
        ]
        colour = moved[0][..., None] * ((1 - share) * tint[0]) + moved[1][..., None] * (share * tint[1])
        picture = Image.fromarray(colour.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        pictures.append(_with_discs(picture, discs, t))
    return np.stack(pictures)


def _clouds(dice: np.random.Generator) -> NDArray[np.float32]:
    height, width = 3 * HEIGHT // 4, 3 * WIDTH // 4
    size = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    size[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(dice.standard_normal((height, width))) / size ** dice.uniform(1.1, 2.0)).real
    return np.clip((field - field.mean()) / field.std() * 50 + 128, 0, 255).astype(np.float32)


def _with_discs(picture: Image.Image, discs: Sequence[Disc], t: float) -> Pictures:
    pen = ImageDraw.Draw(picture)
    for place, way, radius, colour in discs:
        x, y = (place + way * t) % 1
        red, green, blue = (int(value) for value in colour)
        pen.circle((x * WIDTH, y * HEIGHT), radius * HEIGHT, fill=(red, green, blue))
    return np.asarray(picture)


def encode(
    pictures: Pictures, path: Path, *, codec: str = "libx264", fps: int = FPS, size: tuple[int, int] = (WIDTH, HEIGHT),
    **options: str,
) -> Path:  # fmt: skip
    """Write frames as a platform might."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def x264(crf: int, size: tuple[int, int] = (WIDTH, HEIGHT), fps: int = FPS) -> Callable[[Pictures, Path], Path]:
    """Return a change that encodes again."""
    return lambda pictures, path: encode(pictures, path, size=size, fps=fps, crf=str(crf), preset=PRESET)


def each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Pictures, Path], Path]:
    """Return a change of every frame, which is then encoded again at CRF 28."""

    def changed(pictures: Pictures, path: Path) -> Path:
        done = np.stack([np.asarray(change(Image.fromarray(picture)).convert("RGB")) for picture in pictures])
        height, width = (done.shape[1] // 2 * 2, done.shape[2] // 2 * 2)
        return x264(28, (width, height))(done[:, :height, :width], path)

    return changed


def crop(share: float) -> Callable[[Image.Image], Image.Image]:
    """Return a crop of a share of width and height, half of it at each side."""
    x, y = round(WIDTH * share / 2), round(HEIGHT * share / 2)
    return lambda picture: picture.crop((x, y, WIDTH - x, HEIGHT - y))


def letterbox(picture: Image.Image) -> Image.Image:
    """Put a picture between bars, into a square."""
    square = Image.new("RGB", (WIDTH, WIDTH))
    square.paste(picture, (0, (WIDTH - HEIGHT) // 2))
    return square


def with_logo(picture: Image.Image) -> Image.Image:
    """Put a white box into a corner."""
    picture.paste((255, 255, 255), (WIDTH - 150, HEIGHT - 70, WIDTH - 20, HEIGHT - 20))
    return picture


def resampled(fps: int) -> Callable[[Pictures, Path], Path]:
    """Return a change of the frame rate, by repeating frames."""
    return lambda pictures, path: x264(28, fps=fps)(pictures[np.arange(0, FRAMES, FPS / fps).astype(int)], path)


def screenshot(scale: float, quality: int) -> Callable[[Pictures, Path], Path]:
    """Return a picture of one frame as a JPEG."""

    def taken(pictures: Pictures, path: Path) -> Path:
        path = path.with_suffix(".jpg")
        picture = Image.fromarray(pictures[int(pictures[0].sum()) % len(pictures)])  # one of them, at random
        picture.resize((round(WIDTH * scale), round(HEIGHT * scale))).save(path, quality=quality)
        return path

    return taken


CHANGES: dict[str, Callable[[Pictures, Path], Path]] = {
    "encoded again, CRF 23": x264(23),
    "encoded again, CRF 28": x264(28),
    "encoded again, CRF 35": x264(35),
    "360p": x264(28, (624, 360)),
    "240p": x264(28, (416, 240)),
    "240p, CRF 35": x264(35, (416, 240)),
    "720p": x264(28, (1248, 720)),
    "VP9": lambda pictures, path: encode(
        pictures, path.with_suffix(".webm"), codec="libvpx-vp9", crf="36", deadline="realtime", **{"cpu-used": "8"}
    ),
    "AV1": lambda pictures, path: encode(pictures, path, codec="libsvtav1", crf="40", preset="12"),
    "25 frames a second": resampled(25),
    "2 s from the middle": lambda pictures, path: x264(28)(pictures[25:57], path),
    "letterbox": each(letterbox),
    "5 % cropped": each(crop(0.05)),
    "10 % cropped": each(crop(0.10)),
    "brighter": each(lambda picture: picture.point(lambda value: min(255, int(value * 1.15 + 10)))),
    "blurred": each(lambda picture: picture.filter(ImageFilter.BoxBlur(4))),
    "a logo in a corner": each(with_logo),
    "screenshot": screenshot(1.0, 85),
    "screenshot, half the size": screenshot(0.5, 60),
    "mirrored": each(lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def copies(seed: int, keep: Path) -> tuple[bytes, dict[str, Views]]:
    """Return a clip's fingerprint, and what `reelmill verify` sees of each copy of it; a clip done before is read."""
    done = keep / f"{seed}.pickle"
    if not done.exists():
        made = fingerprint(seed), _changed(seed)
        done.with_suffix(".part").write_bytes(pickle.dumps(made))
        done.with_suffix(".part").rename(done)
    kept: tuple[bytes, dict[str, Views]] = pickle.loads(done.read_bytes())
    return kept


def _changed(seed: int) -> dict[str, Views]:
    pictures = draw(seed)
    seen: dict[str, Views] = {}
    with TemporaryDirectory() as folder:
        stored = encode(pictures, Path(folder) / "stored.mp4", crf="18", preset=PRESET)
        with av.open(str(stored)) as container:
            pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        for number, (name, change) in enumerate(CHANGES.items()):
            seen[name] = looks(list(sample(change(pictures, Path(folder) / f"{number}.mp4"))))
    return seen


def fingerprint(seed: int) -> bytes:
    """Return a clip's fingerprint as a worker takes it, from the frames before they are encoded."""
    return Fingerprint.of([_luma(picture) for picture in draw(seed, hashed_frames(FRAMES))]).content


def others(seed: int) -> Views:
    """Return what `reelmill verify` sees of a clip that is not in the index."""
    return looks([_luma(picture) for picture in draw(seed, range(2, FRAMES, 10))])


def _luma(picture: Pictures) -> Pictures:
    return np.asarray(Image.fromarray(picture).convert("L"))


def recognition(clips: int, foreign: int, keep: Path) -> None:
    """Print the table."""
    with ProcessPoolExecutor(2) as processes:
        made = list(processes.map(partial(copies, keep=keep), range(clips)))
        more = list(processes.map(fingerprint, range(10_000, 10_000 + foreign), chunksize=10))
        strange = list(processes.map(others, range(20_000, 20_000 + foreign), chunksize=10))
    keys = [f"night/{number}" for number in range(clips + foreign)]
    index = write_index(b"".join([content for content, _ in made] + more), keys, {})
    farm_index = FarmIndex.of([read_index(index)])
    print(f"| change | recognised | wrong | median distance | largest |\n{'| --- ' * 5}|")
    for name in CHANGES:
        found = [farm_index.nearest(seen[name]) for _, seen in made]
        near = [match if match and match.distance <= MOST_BITS else None for match in found]
        right = [match for number, match in enumerate(near) if match and match.key == f"night/{number}"]
        wrong = sum(match is not None for match in near) - len(right)
        bits: list[float] = [match.distance for match in right] or [float("nan")]
        print(f"| {name} | {len(right) / clips:.1%} | {wrong} | {np.median(bits):.0f} | {max(bits):.0f} |")
    matches: list[Match | None] = [farm_index.nearest(views) for views in strange]
    nearest = min((match.distance for match in matches if match), default=float("nan"))
    false = sum(match is not None and match.distance <= MOST_BITS for match in matches)
    print(
        f"\n{false} of {foreign} other clips taken for one of {clips + foreign:,}; the nearest is {nearest:g} bits away"
    )


def search(clips: int) -> None:
    """Print how long a search takes among clips at random, with four looks at eight frames."""
    dice = np.random.default_rng(1)
    content = write_index(dice.bytes(clips * 256), [f"night/{number:07d}-abcdef12.mp4" for number in range(clips)], {})
    started = time.perf_counter()
    farm_index = FarmIndex.of([read_index(content)])
    loaded = time.perf_counter() - started
    views = {name: dice.integers(0, 2**63, (8, 4)).astype(np.uint64) for name in ("", "bars", "crop 5 %", "crop 10 %")}
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        farm_index.nearest(views)
        seconds.append(time.perf_counter() - started)
    print(
        f"{clips:,} clips: {len(content) / clips:.1f} bytes a clip, read in {loaded:.2f} s, searched in "
        f"{min(seconds):.2f} to {max(seconds):.2f} s"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--others", type=int, default=1000)
    parser.add_argument("--only", default="", help="changes whose name has this text")
    parser.add_argument("--keep", type=Path, help="folder in which each clip's result stays, for a run that goes on")
    parser.add_argument("--search", type=int, default=0)
    asked = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("pdqhash", "numpy", "av"))
    print(f"{versions}; {os.cpu_count()} CPUs\n")
    av.logging.set_level(av.logging.PANIC)
    for name in [name for name in CHANGES if asked.only not in name]:
        del CHANGES[name]
    if asked.clips:
        with TemporaryDirectory() as folder:
            keep = asked.keep or Path(folder)
            keep.mkdir(parents=True, exist_ok=True)
            recognition(asked.clips, asked.others, keep)
    if asked.search:
        search(asked.search)


if __name__ == "__main__":
    main()
