"""Where the objects of a clip lie."""

from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import job_id
from reelmill_common.storage.keys import clip_keys, is_key


def test_the_objects_of_a_clip_share_a_stem_that_holds_the_jobs_id() -> None:
    keys = clip_keys("night-7", "fox")

    job8 = job_id("night-7", "fox")[:8]
    assert keys.video == f"night-7/fox-{job8}.mp4"
    assert keys.poster == f"night-7/fox-{job8}.jpg"
    assert keys.manifest == f"night-7/fox-{job8}.json"


def test_a_later_attempt_has_keys_of_its_own() -> None:
    first, second = clip_keys("night-7", "fox"), clip_keys("night-7", "fox", attempt=2)

    assert second.video == first.video.replace(".mp4", ".a2.mp4")
    assert second.manifest == first.manifest.replace(".json", ".a2.json")


def test_the_longest_names_still_make_usable_keys() -> None:
    keys = clip_keys("b" * 64, "r" * 64, attempt=20)

    assert all(map(is_key, (keys.video, keys.poster, keys.preview, keys.manifest)))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "/a", "a\\b", "a\nb", "Fox", "füchse", ".a", "a" * 65])
def test_a_name_that_could_leave_its_place_is_refused(name: str) -> None:
    with pytest.raises(InvalidJob, match=r"batch .* is not usable"):
        clip_keys(name, "fox")
    with pytest.raises(InvalidJob, match=r"row id .* is not usable"):
        clip_keys("night", name)


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(InvalidJob, match=r"attempt=0 .* counted from 1"):
        clip_keys("night", "fox", attempt=0)
