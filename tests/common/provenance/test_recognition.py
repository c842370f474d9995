"""Recognition: the nearest clip, whatever a platform did to the copy's frame, and none for another video."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from producer.verification_steps import HEIGHT, clouds, fingerprint_of
from reelmill_common.provenance.batch_index import read_index, write_index
from reelmill_common.provenance.fingerprint import hashes_of
from reelmill_common.provenance.recognition import MOST_BITS, Haystack, looks


@pytest.fixture(scope="module")
def haystack() -> Haystack:
    halves = [range(20), range(20, 40)]
    parts = [
        write_index(b"".join(fingerprint_of(seed).content for seed in half), [f"night/{seed}" for seed in half], {})
        for half in halves
    ]
    return Haystack.of(read_index(part) for part in parts)


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
def test_a_copy_is_the_clip_that_it_came_from(haystack: Haystack, change: object) -> None:
    views = looks([np.ascontiguousarray(change(picture)) for picture in pictures(33)])  # type: ignore[operator]

    match = haystack.nearest(views)

    assert len(haystack) == 40
    assert match is not None
    assert match.key == "night/33"
    assert match.distance <= MOST_BITS


def test_one_frame_is_enough(haystack: Haystack) -> None:
    match = haystack.nearest({"": hashes_of(pictures(7)[8:9])})

    assert match is not None
    assert match.key == "night/7"


def test_another_video_is_like_none(haystack: Haystack) -> None:
    found = [haystack.nearest(looks(pictures(seed))) for seed in range(100, 110)]

    assert [match for match in found if match is not None and match.distance <= MOST_BITS] == []


def test_nothing_is_found_among_nothing_nor_with_nothing(haystack: Haystack) -> None:
    plain = hashes_of([np.full((96, 160), 128, dtype=np.uint8)])

    assert Haystack.of([]).nearest(looks(pictures(1))) is None
    assert haystack.nearest({"": plain}) is None
