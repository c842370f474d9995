"""Plans: what each batch's end is, or why it is not known, and what is left by a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from common.forecast_farms import NOW, backlog, load, paces
from reelmill_common.forecast import Paces
from reelmill_producer.analysis.plans import make_plan


def test_what_will_not_be_done_by_a_time_is_counted() -> None:
    made = make_plan(backlog(load("a", 100), load("b", 100)), paces(), NOW + timedelta(hours=1))

    assert [item.left for item in made.batches] == [50, 50]
    assert made.left == 100


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"paused": True}, "it is paused", id="paused"),
        pytest.param({"held": 2}, "2 of its jobs are held", id="held"),
        pytest.param({"left": {"fastwan-qad-fp8": 5}}, "no worker is ready for fastwan-qad-fp8", id="no worker"),
        pytest.param({"after": ("z",)}, "it waits for z, whose end is not known", id="waits for ever"),
        pytest.param({"left": {"tiny": 1_000_000}}, "it is not done within 60 days", id="too much"),
    ],
)
def test_what_is_not_known_has_a_reason(changes: dict[str, Any], why: str) -> None:
    made = make_plan(backlog(load("a", 5, **changes)), paces(), NOW + timedelta(hours=1))

    (forecast,) = made.batches
    assert (forecast.finish_at, forecast.why) == (None, why)
    assert forecast.left > 0


def test_a_lane_without_a_finished_clip_has_no_pace() -> None:
    made = make_plan(backlog(load("a", 5)), Paces())

    assert "so its pace is not known" in made.batches[0].why
    assert made.lanes[0].clips_per_hour is None
