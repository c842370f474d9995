"""Fingerprints: equal for equal pictures, near for copies, far for others, silent about plain ones."""

from __future__ import annotations

import numpy as np
import pytest

from producer.verification_steps import clouds, fingerprint_of
from reelmill_common.errors import InvalidDocument
from reelmill_common.provenance.fingerprint import Fingerprint, hashed_frames, hashes_of


def bits(one: Fingerprint, other: Fingerprint) -> int:
    return int(np.median(np.bitwise_count(one.hashes ^ other.hashes).sum(axis=1)))


def test_equal_pictures_have_equal_fingerprints_and_others_do_not() -> None:
    assert fingerprint_of(1).text == Fingerprint.of([clouds(1)[i][:96].copy() for i in hashed_frames(17)]).text
    assert bits(fingerprint_of(1), fingerprint_of(2)) > 90


def test_a_fingerprint_is_read_from_its_text() -> None:
    assert (Fingerprint.read(fingerprint_of(1).text).hashes == fingerprint_of(1).hashes).all()


@pytest.mark.parametrize("text", ["", "AAAA", "!", "A" * 400])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocument):
        Fingerprint.read(text)


def test_a_plain_picture_says_nothing() -> None:
    assert not hashes_of([np.full((96, 160), 128, dtype=np.uint8)]).any()


@pytest.mark.parametrize(
    ("frames", "chosen"), [(81, [5, 15, 25, 35, 45, 55, 65, 75]), (8, list(range(8))), (1, [0] * 8)]
)
def test_frames_are_taken_from_all_of_a_clip(frames: int, chosen: list[int]) -> None:
    assert hashed_frames(frames) == chosen
