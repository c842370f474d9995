from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.zones import ZONES_OF_2026
from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import InvalidJob

VIENNA = "Europe/Vienna"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_run_follows_the_clock_of_its_zone() -> None:
    cron = Cron.parse("0 22 * * *", VIENNA)

    assert cron.next_after(at("2026-03-27T12:00")) == at("2026-03-27T21:00")
    assert cron.next_after(at("2026-03-29T12:00")) == at("2026-03-29T20:00")


def test_a_run_at_a_time_that_the_clock_leaves_out_comes_right_after_the_change() -> None:
    cron = Cron.parse("30 2 * * *", VIENNA)

    assert cron.next_after(at("2026-03-28T12:00")) == at("2026-03-29T01:00")
    assert cron.next_after(at("2026-03-29T01:00")) == at("2026-03-30T00:30")


@settings(max_examples=80, deadline=None)
@given(data=st.data(), minute=st.integers(0, 59), hour=st.integers(0, 23))
def test_a_daily_run_comes_once_a_day_in_every_zone_over_both_changes(
    data: st.DataObject, minute: int, hour: int
) -> None:
    zone, changes = data.draw(st.sampled_from(ZONES_OF_2026))
    change = data.draw(st.sampled_from(changes))
    cron = Cron.parse(f"{minute} {hour} * * *", zone)

    time, runs = change - timedelta(days=2), list[datetime]()
    while time < change + timedelta(days=2):
        following = cron.next_after(time)
        assert following > time
        assert cron.next_after(following - timedelta(seconds=1)) == following
        runs.append(following)
        time = following

    days = [run.astimezone(cron.zone).date() for run in runs]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


@given(st.integers(0, 365 * 86_400))
def test_the_next_run_is_after_now_even_in_an_hour_that_the_clock_shows_twice(second: int) -> None:
    time = at("2026-01-01") + timedelta(seconds=second)

    assert Cron.parse("*/10 2 * * *", VIENNA).next_after(time) > time
    assert Cron.parse("30 2 * * *", VIENNA).next_after(time) > time


@pytest.mark.parametrize("expression", ["", "at night", "0 25 * * *", "0 22 * *", "0 0 31 2 *", "61 * * * *"])
def test_what_is_no_cron_expression_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(InvalidJob, match="0 22 \\* \\* \\*"):
        Cron.parse(expression, VIENNA)
