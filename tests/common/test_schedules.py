"""Schedules: when they run, over changes of the clock and after a time without a ticker, and what they keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reelmill_common import schedules
from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch, RenderSpec
from reelmill_common.schedules import Schedule, pack, policy_of, unpack

VIENNA = "Europe/Vienna"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def nightly(catch_up: str = "skip") -> Schedule:
    return Schedule(name="nightly", cron=Cron.parse("0 22 * * *", VIENNA), catch_up=catch_up, policy={})  # type: ignore[arg-type]


def test_a_run_a_little_late_is_begun_as_it_was_due() -> None:
    due = at("2026-07-01T20:00")

    run, following = nightly().run_at(due, due + timedelta(minutes=4))

    assert (run, following) == (due, at("2026-07-02T20:00"))


def test_missed_runs_are_skipped() -> None:
    run, following = nightly("skip").run_at(at("2026-07-01T20:00"), at("2026-07-04T09:00"))

    assert (run, following) == (None, at("2026-07-04T20:00"))


def test_a_run_that_is_due_now_is_not_skipped_with_those_before() -> None:
    _, following = nightly("skip").run_at(at("2026-07-01T20:00"), at("2026-07-03T20:01"))

    assert following == at("2026-07-03T20:00")


def test_missed_runs_are_caught_up_with_once() -> None:
    run, following = nightly("once").run_at(at("2026-07-01T20:00"), at("2026-07-04T09:00"))

    assert (run, following) == (at("2026-07-03T20:00"), at("2026-07-04T20:00"))


def test_the_batch_of_a_run_is_named_by_a_time_that_no_clock_shows_twice() -> None:
    batch = Schedule(name="nightly", cron=nightly().cron, policy={"priority": 2}).batch(at("2026-07-01T20:00"))

    assert batch == Batch(name="nightly-20260701t200000z", priority=2)


def test_a_schedule_whose_batches_could_not_be_named_is_refused() -> None:
    with pytest.raises(InvalidJob, match="at most 44"):
        Schedule(name="n" * 45, cron=nightly().cron, policy={})


def test_rows_come_back_as_they_were() -> None:
    rows = [
        (f"r{number}", RenderSpec(prompt=f"füchse {number}", seed=number, profile="tiny")) for number in range(2500)
    ]

    pieces = list(pack(rows))
    jobs = [job for piece, _ in pieces for job in unpack(piece, "night")]

    assert [count for _, count in pieces] == [1000, 1000, 500]
    assert [(job.row, job.spec) for job in jobs] == rows


def test_more_rows_than_are_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "MAX_ROWS_CHARS", 1000)

    with pytest.raises(InvalidJob, match="split the file"):
        list(pack((f"r{number}", RenderSpec(prompt=f"{number * 7919}")) for number in range(1000)))


def test_a_schedule_keeps_what_of_a_policy_is_not_as_by_default() -> None:
    policy = policy_of(Batch(name="x", priority=7, window="22:00-07:00 UTC"))

    assert policy == {"priority": 7, "window": "22:00-07:00 UTC"}
    assert Batch(name="y", **policy).window == "22:00-07:00 UTC"
