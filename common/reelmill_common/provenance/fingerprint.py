"""Fingerprints of clips: perceptual hashes of a few frames, which survive what platforms do to a file.

Each hash is Meta's PDQ ("The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019): 256 bits of
a frame's coarse structure. Unequal pictures differ in about 128 of them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from reelmill_common.errors import InvalidDocument

FRAMES = 8
"""Hashes of a clip: one about every 0.6 s of 81 frames, so that a screenshot or a cut is near one of them."""
NUMBERS = 4
"""64-bit numbers of a hash."""
BYTES = FRAMES * NUMBERS * 8
SIDE = 64
"""Pixels to which a frame is made smaller first, as PDQ itself would, by a filter that costs a fifth."""
LEAST_QUALITY = 30
"""Least quality, 0 to 100 by PDQ's own measure, of a hash that says something: a plain picture looks like any other."""

Luma = NDArray[np.uint8]
"""Brightness of a picture, (height, width), of any range."""
Hashes = NDArray[np.uint64]
"""Hashes, (n, 4). All zero: the picture has too little structure; no PDQ is zero, and none is near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A clip's fingerprint: hashes, (8, 4) uint64."""

    hashes: Hashes

    @classmethod
    def of(cls, pictures: Sequence[Luma]) -> Fingerprint:
        """Take it from the frames at `hashed_frames`."""
        return cls(hashes=hashes_of(pictures))

    @classmethod
    def read(cls, text: str) -> Fingerprint:
        """Read what `text` wrote. Raises `InvalidDocument`."""
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError as err:
            raise InvalidDocument("a fingerprint is not base64") from err
        if len(content) != BYTES:
            raise InvalidDocument(f"a fingerprint has {len(content)} bytes, and {BYTES} were expected")
        return cls(hashes=np.frombuffer(content, dtype="<u8").reshape(FRAMES, NUMBERS).astype(np.uint64))

    @property
    def text(self) -> str:
        """It as base64."""
        return base64.b64encode(self.content).decode()

    @property
    def content(self) -> bytes:
        """It as 256 bytes."""
        return self.hashes.astype("<u8").tobytes()


def hashed_frames(frames: int, count: int = FRAMES) -> list[int]:
    """Return which frames of a clip are hashed: the middles of equal parts of it."""
    return [min(frames - 1, (2 * part + 1) * frames // (2 * count)) for part in range(count)]


def hashes_of(pictures: Iterable[Luma]) -> Hashes:
    """Return a hash for each picture, (n, 4)."""
    found = [_hash(picture) for picture in pictures]
    return np.stack(found) if found else np.zeros((0, NUMBERS), dtype=np.uint64)


def _hash(picture: Luma) -> Hashes:
    small = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0))
    bits, quality = pdqhash.compute(np.repeat(small[:, :, None], 3, axis=2))
    if quality < LEAST_QUALITY:
        return np.zeros(NUMBERS, dtype=np.uint64)
    return np.packbits(bits.astype(np.uint8)).view("<u8").astype(np.uint64)
