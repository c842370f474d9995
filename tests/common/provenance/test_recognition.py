"""Recognition: the nearest clip, whatever a platform did to the copy's frame, and none for another video."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from producer.verification_steps import HEIGHT, clouds, fingerprint_of
from reelmill_common.provenance.batch_index import read_index, write_index
from reelmill_common.provenance.fingerprint import hashes_of
from reelmill_common.provenance.recognition import MOST_BITS, FarmIndex, looks


@pytest.fixture(scope="module")
def farm_index() -> FarmIndex:
    halves = [range(20), range(20, 40)]
    parts = [
        write_index(b"".join(fingerprint_of(seed).content for seed in half), [f"night/{seed}" for seed in half], {})
        for half in halves
    ]
    return FarmIndex.of(read_index(part) for part in parts)


def pictures(seed: int) -> list[NDArray[np.uint8]]:
    return [planes[:HEIGHT] for planes in clouds(seed)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda picture: picture, id="as it was"),
        pytest.param(lambda picture: picture[::2, ::2], id="half the size"),
        pytest.param(lambda picture: np.clip(picture.astype(int) + 12, 0, 255).astype(np.uint8), id="brighter"),
        pytest.param(lambda picture: np.pad(picture, ((20, 20), (0, 0)), constant_values=16), id="letterbox"),
        pytest.param(lambda picture: picture[5:-5, 8:-8], id="10 % cropped"),
    ],
)
def test_a_copy_is_the_clip_that_it_came_from(farm_index: FarmIndex, change: object) -> None:
    views = looks([np.ascontiguousarray(change(picture)) for picture in pictures(33)])  # type: ignore[operator]

    match = farm_index.nearest(views)

    assert len(farm_index) == 40
    assert match is not None
    assert match.key == "night/33"
    assert match.distance <= MOST_BITS


def test_one_frame_is_enough(farm_index: FarmIndex) -> None:
    match = farm_index.nearest({"": hashes_of(pictures(7)[8:9])})

    assert match is not None
    assert match.key == "night/7"


def test_another_video_is_like_none(farm_index: FarmIndex) -> None:
    found = [farm_index.nearest(looks(pictures(seed))) for seed in range(100, 110)]

    assert [match for match in found if match is not None and match.distance <= MOST_BITS] == []


def test_the_opposite_of_every_bit_is_no_match(farm_index: FarmIndex) -> None:
    opposite = ~hashes_of(pictures(7))

    match = farm_index.nearest({"": opposite})

    assert match is None or match.distance > MOST_BITS


def test_nothing_is_found_among_nothing_nor_with_nothing(farm_index: FarmIndex) -> None:
    plain = hashes_of([np.full((96, 160), 128, dtype=np.uint8)])

    assert FarmIndex.of([]).nearest(looks(pictures(1))) is None
    assert farm_index.nearest({"": plain}) is None
