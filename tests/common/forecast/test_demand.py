"""What a farm wants of workers: enough for deadlines, hours and targets, no more, and none where nothing may run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.forecast_farms import NOW, SECONDS, backlog, finished, load, paces, played
from reelmill_common.forecast import Aims
from reelmill_common.forecast.demand import LEADS, may_run, workers_wanted
from reelmill_common.ledger.backlog import Backlog, OwnerLoad, WorkerCapacity
from reelmill_common.settings import Settings

HOUR = timedelta(hours=1)
AIMS = Aims(lead_s=0)


def wanted(*loads: Any, aims: Aims = AIMS, ages: dict[str, float] | None = None, **more: Any) -> int:
    farm = backlog(*loads, **{"workers": 0, **more})
    return workers_wanted(farm, paces(), aims, ages).get("tiny", 0)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"paused": True}, id="paused"),
        pytest.param({"window": "22:00-07:00 UTC"}, id="its window is closed"),
        pytest.param({"window": "19:00-21:00 UTC", "shut": True, "closing": True}, id="its window has no room"),
        pytest.param({"start": NOW + HOUR}, id="it starts later"),
        pytest.param({"after": ("other",)}, id="it waits for another"),
        pytest.param({"expires": NOW}, id="it expired"),
        pytest.param({"left": {"tiny": 0}, "held": 5}, id="all of it is held"),
    ],
)
def test_what_may_not_run_wants_no_worker(changes: dict[str, Any]) -> None:
    assert wanted(load("night", 500, **changes)) == 0


def test_work_without_a_deadline_is_done_within_the_target() -> None:
    assert wanted(load("night", 1000)) == 10  # ten hours of GPU in one
    assert wanted(load("night", 1000), ages={"night": 1800.0}) == 20
    assert wanted(load("night", 1000), aims=Aims(lead_s=0, target_s=4 * 3600)) == 3


def test_a_deadline_decides_by_the_hours_in_which_the_batch_may_run() -> None:
    by = NOW + 12 * HOUR

    assert wanted(load("day", 1000, finish_by=by)) == 1  # 11.5 hours, with the margin
    assert wanted(load("night", 1000, finish_by=by, window="18:00-22:00 UTC")) == 6


def test_what_is_more_urgent_is_done_before() -> None:
    night = load("night", 1000, finish_by=NOW + 8 * HOUR)

    assert wanted(night) == 2
    assert wanted(night, load("urgent", 1000, priority=9, finish_by=NOW + 20 * HOUR)) == 3
    assert wanted(night, load("idle", 1000, priority=1, finish_by=NOW + 20 * HOUR)) == 2


def test_what_takes_turns_counts_as_much_as_it_takes_until_the_deadline() -> None:
    night = load("night", 1000, finish_by=NOW + 6 * HOUR, owner="ann")
    other = load("other", 5000, finish_by=NOW + 100 * HOUR, owner="bob")

    assert wanted(night) == 2
    assert wanted(night, other) == 4  # half of the farm is the other's
    assert wanted(night, other, owners={"ann": OwnerLoad(weight=9), "bob": OwnerLoad()}) == 3


def test_a_deadline_counts_for_what_the_batch_waits_for() -> None:
    first = load("first", 1000, finish_by=NOW + 40 * HOUR)
    then = load("then", 1000, finish_by=NOW + 6 * HOUR, after=("first",), priority=9)

    assert wanted(first) == 1
    assert wanted(first, then) == 4


@pytest.mark.parametrize(
    ("loads", "owners", "most"),
    [
        pytest.param([load("a", 3)], {}, 3, id="a worker a clip"),
        pytest.param([load("a", 9000, cap=4), load("b", 9000, cap=2)], {}, 6, id="limits of batches"),
        pytest.param(
            [load("a", 9000, owner="ann"), load("b", 3)], {"ann": OwnerLoad(cap=5)}, 8, id="limit of an owner"
        ),
    ],
)
def test_no_more_are_wanted_than_can_be_busy(loads: list[Any], owners: dict[str, OwnerLoad], most: int) -> None:
    assert wanted(*loads, owners=owners, aims=Aims(target_s=30, lead_s=0)) == most


def test_a_worker_that_is_not_there_yet_begins_a_lead_later() -> None:
    night, aims = load("night", 1000, finish_by=NOW + 2 * HOUR), Aims(lead_s=1200)

    assert wanted(night, aims=aims) == 7  # 11.5 hours of GPU in 1 h 40 min
    assert wanted(night, aims=aims, workers=6) == 6


def test_a_batch_that_opens_within_the_lead_counts_already() -> None:
    soon = load("night", 1000, window="20:10-23:00 UTC")

    assert wanted(soon) == 0
    assert wanted(soon, aims=Aims(lead_s=900)) > 0
    assert may_run(soon, NOW, 900)
    assert not may_run(soon, NOW)


def test_what_is_late_is_not_hurried_without_measure() -> None:
    late = load("night", 1000, finish_by=NOW - HOUR)

    assert wanted(late, aims=Aims(lead_s=300)) <= 36_000 * 1.16 / (LEADS - 1) / 300 + 1


def test_each_lane_wants_its_own_and_a_pace_that_is_not_measured_is_assumed() -> None:
    lanes = ({"tiny": 100}, {"tiny@h100": 1000}, {"fastwan-qad-fp8": 240})
    farm = backlog(*(load(f"b{n}", 0, left=left) for n, left in enumerate(lanes)), workers=0)

    found = workers_wanted(farm, paces(), AIMS)

    assert found == {"tiny": 1, "tiny@h100": 10, "fastwan-qad-fp8": 2}


def test_bounds_hold_for_a_profile_and_leave_a_class_without_a_least() -> None:
    aims = Aims.of(Settings(autoscale_min=2, autoscale_max=5))

    assert [aims.bounded("tiny", count) for count in (0, 3, 9)] == [2, 3, 5]
    assert [aims.bounded("tiny@h100", count) for count in (0, 3, 9)] == [0, 3, 5]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(20, 3000), st.integers(1, 9), st.integers(2, 20), st.booleans(), st.sampled_from("ab")),
        min_size=1,
        max_size=5,
    )
)
def test_with_the_workers_that_are_wanted_the_forecast_meets_every_deadline(
    batches: list[tuple[int, int, int, bool, str]],
) -> None:
    loads = [
        load(f"b{index}", clips, priority=priority, owner=owner, finish_by=NOW + hours * HOUR if has_deadline else None)
        for index, (clips, priority, hours, has_deadline, owner) in enumerate(batches)
    ]
    farm = backlog(*loads, workers=0)
    count = workers_wanted(farm, paces(), AIMS)["tiny"]

    course = played(staffed(farm, count))

    for one in loads:
        end = course.finish_of(one.batch)
        if one.finish_by is not None:
            assert end is not None
            assert end <= one.finish_by


def staffed(farm: Backlog, count: int) -> Backlog:
    return replace(farm, hands=[WorkerCapacity(lane="tiny", live=True, window="", name=f"w{n}") for n in range(count)])


def test_a_farm_is_not_wanted_twice_as_large_as_its_work() -> None:
    """The forecast with half of the workers misses the deadline, so the number is not a mere upper bound."""
    farm = backlog(load("night", 2000, finish_by=NOW + 4 * HOUR), workers=0)
    count = workers_wanted(farm, paces(finished(SECONDS)), AIMS)["tiny"]

    end = played(staffed(farm, count // 2)).finish_of("night")

    assert count == 6
    assert end is not None
    assert end > NOW + 4 * HOUR
