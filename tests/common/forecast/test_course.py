"""The course of a farm: who renders what until when."""

from __future__ import annotations

from datetime import timedelta

from common.forecast_farms import NOW, backlog, hours, load, played
from reelmill_common.ledger.backlog import OwnerLoad, WorkerCapacity


def test_workers_share_the_clips() -> None:
    assert hours(backlog(load("a", 100), workers=2)) == {"a": 0.5}


def test_a_more_urgent_batch_comes_first() -> None:
    assert hours(backlog(load("a", 100), load("b", 100, priority=9))) == {"a": 2.0, "b": 1.0}


def test_batches_of_one_priority_share_by_weight() -> None:
    assert hours(backlog(load("a", 100), load("b", 100, weight=3))) == {"a": 2.0, "b": 1.33}


def test_what_a_cap_leaves_over_goes_to_the_others() -> None:
    farm = backlog(load("a", 100, cap=1), load("b", 300, priority=4), workers=4)

    # The next clip of `a` is sent when the last one has ended, and goes before what waits of `b`.
    assert hours(farm) == {"a": 1.0, "b": 1.0}


def test_a_capped_batch_waits_behind_what_was_sent_of_others_of_its_priority() -> None:
    farm = backlog(load("a", 100, cap=1), load("b", 300), workers=4)

    assert hours(farm) == {"a": 1.54, "b": 0.82}


def test_an_owners_cap_and_weight_count() -> None:
    owners = {"ann": OwnerLoad(cap=1), "bob": OwnerLoad(weight=3), "cem": OwnerLoad()}

    capped = hours(backlog(load("a", 100, owner="ann"), workers=4, owners=owners))
    weighed = hours(backlog(load("b", 150, owner="bob"), load("c", 100, owner="cem"), owners=owners))

    assert (capped, weighed) == ({"a": 1.0}, {"b": 2.0, "c": 2.5})


def test_a_class_has_only_its_workers_and_the_others_what_these_leave() -> None:
    fast = WorkerCapacity(lane="tiny", live=True, window="", classes=["tiny@h100"], name="fast")
    slow = WorkerCapacity(lane="tiny", live=True, window="", name="slow")
    farm = backlog(load("a", 100, left={"tiny@h100": 100}), load("b", 200), hands=[fast, slow])

    assert hours(farm) == {"a": 1.0, "b": 1.5}


def test_what_expires_before_it_starts_is_counted_and_holds_up_what_waits_for_it() -> None:
    farm = backlog(
        load("a", 100, expires=NOW + timedelta(seconds=1799)),
        load("b", 10, after=("a",)),
        load("c", 10, after=("a",), after_any=("a",)),
    )

    course = played(farm, by=NOW + timedelta(hours=1))

    assert {name: course.unknown(name) for name in course.names} == {
        "a": "it expires before 50 of its clips have started",
        "b": "it waits for a, and not all of its clips succeed",
        "c": "",
    }
    assert course.left_by == {"a": 50, "b": 10, "c": 0}


def test_an_urgent_batch_before_very_many_clips_is_not_dealt_out_in_lumps() -> None:
    farm = backlog(load("a", 100_000), load("b", 40, priority=9), workers=40)

    assert hours(farm) == {"a": 25.01, "b": 0.01}


def test_a_batch_waits_for_its_window_and_stops_with_it() -> None:
    farm = backlog(load("a", 150, window="22:00-23:00 UTC"))

    assert hours(farm) == {"a": 26.5}  # from 22:00, and from the next day's 22:00


def test_a_worker_rests_outside_of_its_window() -> None:
    assert hours(backlog(load("a", 100), window="22:00-07:00 UTC")) == {"a": 3.0}


def test_a_batch_starts_when_it_may_and_after_those_that_it_waits_for() -> None:
    farm = backlog(load("a", 100, start=NOW + timedelta(hours=1)), load("b", 100, after=("a",)))

    assert hours(farm) == {"a": 2.0, "b": 3.0}
