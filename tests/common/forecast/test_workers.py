"""The workers of a forecast: how fast each is, and how long a clip takes."""

from __future__ import annotations

from common.forecast_farms import backlog, finished, hours, load, paces
from reelmill_common.ledger.backlog import WorkerCapacity


def test_a_worker_that_is_as_fast_as_two_makes_twice_as_much() -> None:
    hands = [WorkerCapacity(lane="tiny", live=True, window="", name=name) for name in ("fast", "slow")]
    measured = paces(finished(18.0, "fast"), finished(36.0, "slow"))

    assert hours(backlog(load("a", 300), hands=hands), measured) == {"a": 1.0}


def test_a_batch_is_measured_by_its_own_clips() -> None:
    assert hours(backlog(load("a", 100, clip_s=72.0))) == {"a": 2.0}
