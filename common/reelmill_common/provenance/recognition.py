"""Finds the clip that a copy came from, among the fingerprints of all batches, by comparing with every one.

A copy's frames are hashed as they are, and as they may have been before a platform cropped or framed them (`looks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reelmill_common.provenance.batch_index import BatchIndex
from reelmill_common.provenance.fingerprint import FRAMES, NUMBERS, Hashes, Luma, hashes_of

MOST_BITS = 52
"""Distance, in bits of 256, up to which a copy counts as recognised: `benchmarks/recognition.py` has the figures."""
PROBES = 12
"""Frames of a copy with which the whole index is searched; the others only decide between what these find."""
BEST = 4
"""A clip is as far from a copy as the quarter of the copy's frames that are nearest to one of the clip's: only some
were taken about when the clip's hashes were."""
PROBE_BITS = 64
"""Distance of one frame up to which a clip is looked at more closely."""
GROWN = 256
CROPS = {"": 0, "crop 5 %": 7, "crop 10 %": 14}
"""Pixels of 256 that are added at each side, to undo a crop."""
THREADS = 2
BLOCK = 1 << 16
"""Hashes that are compared at a time: half a megabyte, which a core's cache holds."""
BLACK = 28
"""Brightest value of a bar, in limited range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The nearest clip.

    Attributes:
        key: Key of its MP4.
        distance: Bits of 256 in which frames of both differ, see `BEST`.
        look: How the copy's frames were looked at; empty: as they are.
    """

    key: str
    distance: int
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmIndex:
    """The fingerprints of all batches.

    Attributes:
        numbers: (4, clips * 8) uint64: the first numbers of all hashes, then the second ones.
        parts: The indexes that they came from, in their order.
    """

    numbers: NDArray[np.uint64]
    parts: Sequence[BatchIndex]

    @classmethod
    def of(cls, parts: Iterable[BatchIndex]) -> FarmIndex:
        """Put indexes together."""
        found = [part for part in parts if len(part)]
        hashes = np.frombuffer(b"".join(part.hashes for part in found), dtype="<u8").reshape(-1, NUMBERS)
        return cls(numbers=np.ascontiguousarray(hashes.T.astype(np.uint64, copy=False)), parts=found)

    def __len__(self) -> int:
        return int(self.numbers.shape[1]) // FRAMES

    def key(self, place: int) -> str:
        """Return the key of a clip by its place."""
        for part in self.parts:
            if place < len(part):
                return part.key(place)
            place -= len(part)
        raise IndexError(place)

    def nearest(self, views: Mapping[str, Hashes]) -> Match | None:
        """Return the clip that is nearest to a copy, looked at in some ways; None if none is near at all.

        Args:
            views: Hashes of the copy's frames, (n, 4), by the name of the look.
        """
        best: Match | None = None
        for look, hashes in views.items():
            sound = hashes[hashes.any(axis=1)]
            for place in self._candidates(sound):
                distance = self._distance(place, sound)
                if best is None or distance < best.distance:
                    best = Match(key=self.key(place), distance=distance, look=look)
        return best

    def _candidates(self, hashes: Hashes) -> list[int]:
        """Return the clips that have a frame near one of a few of the copy's."""
        if not len(hashes) or not len(self):
            return []
        places = {(2 * part + 1) * len(hashes) // (2 * PROBES) for part in range(PROBES)}
        probes = hashes[sorted(places)]
        starts = range(0, self.numbers.shape[1], BLOCK)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="recognition") as threads:
            found = list(threads.map(lambda start: self._near(probes, start), starts))
        return sorted({int(place) // FRAMES for near in found for place in near})

    def _near(self, probes: Hashes, start: int) -> NDArray[np.int64]:
        block = self.numbers[:, start : start + BLOCK]
        near = np.zeros(block.shape[1], dtype=bool)
        for probe in probes:
            near |= _bits(block, probe) <= PROBE_BITS
        return np.flatnonzero(near) + start

    def _distance(self, place: int, hashes: Hashes) -> int:
        """Return the distance of a clip from a copy, see `BEST`."""
        own = self.numbers[:, place * FRAMES : (place + 1) * FRAMES]
        nearest = sorted(int(_bits(own, one).min()) for one in hashes)
        return nearest[len(nearest) // BEST]


def _bits(numbers: NDArray[np.uint64], hash_: Hashes) -> NDArray[np.uint16]:
    """Return in how many bits each hash, (4, n), differs from one, (4): 0 to 256, one more than a byte holds."""
    total: NDArray[np.uint8] = np.bitwise_count(numbers[0] ^ hash_[0])
    for number in range(1, NUMBERS - 1):
        total += np.bitwise_count(numbers[number] ^ hash_[number])
    whole: NDArray[np.uint16] = np.add(total, np.bitwise_count(numbers[-1] ^ hash_[-1]), dtype=np.uint16)
    return whole


def looks(pictures: Sequence[Luma]) -> dict[str, Hashes]:
    """Return the hashes of a copy's frames by how they are looked at.

    As they are, without black bars, and with edges repeated in place of what a crop took.
    """
    views = {name: hashes_of([_grown(picture, side) for picture in pictures]) for name, side in CROPS.items()}
    top, bottom, left, right = _bars(pictures)
    if top or bottom or left or right:
        inner = [np.ascontiguousarray(p[top : p.shape[0] - bottom, left : p.shape[1] - right]) for p in pictures]
        views["bars"] = hashes_of(inner)
    return views


def _grown(picture: Luma, side: int) -> Luma:
    """Return a picture with its edges repeated at each side, as if it had not been cropped."""
    if not side:
        return picture
    inner = Image.fromarray(picture).resize((GROWN - 2 * side, GROWN - 2 * side), Image.Resampling.BOX)
    return np.pad(np.asarray(inner), side, mode="edge")


def _bars(pictures: Sequence[Luma]) -> tuple[int, int, int, int]:
    """Return how many rows and columns are black in all frames: above, below, left, right; at most a third each."""
    brightest = np.max(np.stack([np.asarray(picture) for picture in pictures]), axis=0)
    # The mean of a row: an encoder leaves a bright pixel here and there along an edge.
    rows, columns = brightest.mean(axis=1) > BLACK, brightest.mean(axis=0) > BLACK
    return (*_edges(rows), *_edges(columns))


def _edges(lit: NDArray[np.bool_]) -> tuple[int, int]:
    if not lit.any():
        return 0, 0
    before, after = int(lit.argmax()), int(lit[::-1].argmax())
    most = len(lit) // 3
    return (before, after) if before <= most and after <= most else (0, 0)
