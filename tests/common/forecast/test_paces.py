"""Paces: the mean of finished clips, by shape, by profile and by worker."""

from __future__ import annotations

from common.forecast_farms import finished, paces
from reelmill_common.forecast import ClipPace, shape_of


def test_a_shape_has_the_pace_of_its_own_clips_and_else_that_of_its_profile() -> None:
    measured = paces(finished(10.0, frames=5), finished(20.0, frames=5), finished(60.0, frames=9))

    own, other = (shape_of(finished(1.0, frames=frames).spec) for frames in (5, 17))

    assert measured.of(own) == ClipPace(seconds=15.0, clips=2, same_shape=True)
    assert measured.of(other) == ClipPace(seconds=30.0, clips=3, same_shape=False)
    assert measured.of_profile("fastwan-qad-fp8") is None


def test_a_clip_without_measured_stages_does_not_count() -> None:
    assert paces(finished(0.0)).of_profile("tiny") is None


def test_the_speed_of_a_worker_is_relative_to_clips_of_the_same_shape() -> None:
    measured = paces(
        finished(10.0, "fast", frames=5), finished(30.0, "slow", frames=5), finished(90.0, "slow", frames=9)
    )

    assert measured.speed("fast") == 2.0
    assert measured.speed("slow") == (20.0 + 90.0) / (30.0 + 90.0)
    assert measured.speed("new") == 1.0
