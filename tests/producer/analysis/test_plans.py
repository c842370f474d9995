"""Plans: the farm's hours to come, played through on paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reelmill_common.forecast import Paces
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import JobView, Result
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, OwnerLoad, WorkerCapacity
from reelmill_producer.analysis.plans import make_plan

NOW = datetime(2026, 7, 1, 20, tzinfo=UTC)
SECONDS = 36.0
"""A clip: a worker makes a hundred an hour."""


def paces() -> Paces:
    found = Paces()
    found.add(finished(SECONDS))
    return found


def finished(seconds: float, worker: str = "") -> JobView:
    """Return a clip that took so long."""
    result = Result(key="k", sha256="", size_bytes=1, latents_sha256="", seconds={"denoise": seconds})
    spec = RenderSpec(prompt="a fox", profile="tiny")
    return JobView(
        job_id="j",
        batch="b",
        row="r",
        state=JobState.SUCCEEDED,
        spec=spec,
        priority=5,
        generation=1,
        attempts=1,
        worker=worker,
        result=result,
    )


def load(batch: str, clips: int, **changes: Any) -> BatchBacklog:
    values = {"priority": 5, "weight": 1, "cap": 0, "paused": False, "shut": False, "window": "", "start": None}
    return BatchBacklog(**{"batch": batch, "after": (), "held": 0, "left": {"tiny": clips}, **values, **changes})


def plan(*loads: BatchBacklog, workers: int = 1, window: str = "", by: datetime | None = None, **more: Any) -> Any:
    hands = [WorkerCapacity(lane="tiny", live=True, window=window)] * workers
    return make_plan(Backlog(now=NOW, batches=loads, hands=hands, **more), paces(), by)


def hours(made: Any) -> dict[str, float | None]:
    """Return how many hours from now each batch is done."""
    return {
        item.batch: None if item.finish_at is None else round((item.finish_at - NOW) / timedelta(hours=1), 2)
        for item in made.batches
    }


def test_workers_share_the_clips() -> None:
    assert hours(plan(load("a", 100), workers=2)) == {"a": 0.5}


def test_a_more_urgent_batch_comes_first() -> None:
    assert hours(plan(load("a", 100), load("b", 100, priority=9))) == {"a": 2.0, "b": 1.0}


def test_batches_of_one_priority_share_by_weight() -> None:
    assert hours(plan(load("a", 100), load("b", 100, weight=3))) == {"a": 2.0, "b": 1.33}


def test_what_a_cap_leaves_over_goes_to_the_others() -> None:
    made = plan(load("a", 100, cap=1), load("b", 300, priority=4), workers=4)

    # The next clip of `a` is sent when the last one has ended, and goes before what waits of `b`.
    assert hours(made) == {"a": 1.0, "b": 1.0}


def test_a_capped_batch_waits_behind_what_was_sent_of_others_of_its_priority() -> None:
    made = plan(load("a", 100, cap=1), load("b", 300), workers=4)

    assert hours(made) == {"a": 1.54, "b": 0.82}


def test_an_owners_cap_and_weight_count() -> None:
    owners = {"ann": OwnerLoad(cap=1), "bob": OwnerLoad(weight=3), "cem": OwnerLoad()}

    capped = hours(plan(load("a", 100, owner="ann"), workers=4, owners=owners))
    weighed = hours(plan(load("b", 150, owner="bob"), load("c", 100, owner="cem"), owners=owners))

    assert (capped, weighed) == ({"a": 1.0}, {"b": 2.0, "c": 2.5})


def test_a_class_has_only_its_workers_and_the_others_what_these_leave() -> None:
    fast = WorkerCapacity(lane="tiny", live=True, window="", classes=["tiny@h100"], name="fast")
    slow = WorkerCapacity(lane="tiny", live=True, window="", name="slow")
    loads = Backlog(now=NOW, batches=[load("a", 100, left={"tiny@h100": 100}), load("b", 200)], hands=[fast, slow])

    assert hours(make_plan(loads, paces())) == {"a": 1.0, "b": 1.5}


def test_a_worker_that_is_as_fast_as_two_makes_twice_as_much() -> None:
    measured = Paces()
    for worker, seconds in (("fast", 18.0), ("slow", 36.0)):
        measured.add(finished(seconds, worker))
    hands = [WorkerCapacity(lane="tiny", live=True, window="", name=name) for name in ("fast", "slow")]

    assert hours(make_plan(Backlog(now=NOW, batches=[load("a", 300)], hands=hands), measured)) == {"a": 1.0}


def test_what_expires_before_it_starts_is_counted_and_holds_up_who_waits_for_it() -> None:
    made = plan(
        load("a", 100, expires=NOW + timedelta(seconds=1799)),
        load("b", 10, after=("a",)),
        load("c", 10, after=("a",), after_any=("a",)),
        by=NOW + timedelta(hours=1),
    )

    assert {item.batch: item.why for item in made.batches} == {
        "a": "it expires before 50 of its clips have started",
        "b": "it waits for a, of which not all clips succeed",
        "c": "",
    }
    assert [item.left for item in made.batches] == [50, 10, 0]


def test_a_batch_is_measured_by_its_own_clips() -> None:
    assert hours(plan(load("a", 100, clip_s=72.0))) == {"a": 2.0}


def test_an_urgent_batch_before_very_many_clips_is_not_dealt_out_in_lumps() -> None:
    made = plan(load("a", 100_000), load("b", 40, priority=9), workers=40)

    assert hours(made) == {"a": 25.01, "b": 0.01}


def test_a_batch_waits_for_its_window_and_stops_with_it() -> None:
    made = plan(load("a", 150, window="22:00-23:00 UTC"))

    assert hours(made) == {"a": 26.5}  # from 22:00, and from the next day's 22:00


def test_a_worker_rests_outside_of_its_window() -> None:
    assert hours(plan(load("a", 100), window="22:00-07:00 UTC")) == {"a": 3.0}


def test_a_batch_starts_when_it_may_and_after_those_that_it_waits_for() -> None:
    made = plan(load("a", 100, start=NOW + timedelta(hours=1)), load("b", 100, after=("a",)))

    assert hours(made) == {"a": 2.0, "b": 3.0}


def test_what_will_not_be_done_by_a_time_is_counted() -> None:
    made = plan(load("a", 100), load("b", 100), by=NOW + timedelta(hours=1))

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
    made = plan(load("a", 5, **changes), by=NOW + timedelta(hours=1))

    (forecast,) = made.batches
    assert (forecast.finish_at, forecast.why) == (None, why)
    assert forecast.left > 0


def test_a_lane_without_a_finished_clip_has_no_pace() -> None:
    made = make_plan(
        Backlog(now=NOW, batches=[load("a", 5)], hands=[WorkerCapacity(lane="tiny", live=True, window="")]),
        Paces(),
        None,
    )

    assert "so its pace is not known" in made.batches[0].why
    assert made.lanes[0].clips_per_hour is None
