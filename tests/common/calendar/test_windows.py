"""Windows keep to what a clock on the wall shows, in every time zone and over both changes of the clock."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.zones import ZONES, ZONES_OF_2026
from reelmill_common.calendar.windows import DAYS, Windows
from reelmill_common.errors import InvalidJob

VIENNA = "Europe/Vienna"
MINUTES = st.integers(0, 24 * 60 - 1)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def shown(windows: Windows, when: datetime, start: int, end: int, days: set[int]) -> bool:
    """Say what is open by looking at a clock and a calendar: the meaning of a window, spelt out."""
    local = when.astimezone(windows.zone)
    minute = local.hour * 60 + local.minute
    if start < end:
        return local.weekday() in days and start <= minute < end
    evening = local.weekday() in days and minute >= start
    morning = (local.weekday() - 1) % 7 in days and minute < end
    return evening or morning


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        pytest.param("2026-07-01T19:59:59", False, id="a second before"),
        pytest.param("2026-07-01T20:00:00", True, id="when it opens: 22:00 in summer"),
        pytest.param("2026-07-02T04:59:59", True, id="the last second"),
        pytest.param("2026-07-02T05:00:00", False, id="when it shuts"),
        pytest.param("2026-01-01T20:30:00", False, id="an hour later in winter"),
        pytest.param("2026-01-01T21:00:00", True, id="when it opens in winter"),
    ],
)
def test_a_window_over_midnight_is_open_by_the_clock_of_its_zone(when: str, is_open: bool) -> None:
    windows = Windows.parse(f"22:00-07:00 {VIENNA}")

    assert windows.open_at(datetime.fromisoformat(when).replace(tzinfo=UTC)) is is_open


def test_the_days_are_those_on_which_a_window_begins() -> None:
    windows = Windows.parse("mon-fri 22:00-07:00 UTC")

    friday_night = datetime(2026, 7, 3, 23, tzinfo=UTC)
    assert windows.open_at(friday_night)
    assert windows.open_at(friday_night + timedelta(hours=4))  # Saturday at three
    assert not windows.open_at(friday_night + timedelta(days=1))
    assert not windows.open_at(datetime(2026, 7, 6, 3, tzinfo=UTC))  # Monday at three is Sunday's night


def test_several_spans_each_have_their_days() -> None:
    windows = Windows.parse("mon-fri 12:00-13:00 22:00-24:00, sat sun 00:00-24:00 UTC")

    assert [span.days for span in windows.spans] == [frozenset(range(5)), frozenset(range(5)), frozenset({5, 6})]
    assert windows.open_at(datetime(2026, 7, 4, 9, tzinfo=UTC))
    assert windows.next_change(datetime(2026, 7, 4, 9, tzinfo=UTC)) == datetime(2026, 7, 6, tzinfo=UTC)


def test_a_window_that_is_always_open_never_changes() -> None:
    assert Windows.parse("00:00-24:00 UTC").next_change(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_window_may_have_seconds() -> None:
    windows = Windows.parse("22:00:05-22:00:10 UTC")

    assert windows.next_change(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, 22, 0, 5, tzinfo=UTC)


def test_an_opening_that_the_clock_leaves_out_comes_with_the_change() -> None:
    windows = Windows.parse(f"02:30-05:00 {VIENNA}")  # on 29 March 2026 the clock goes from 02:00 to 03:00

    before = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    assert windows.next_change(before) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert windows.next_change(datetime(2026, 3, 29, 1, 30, tzinfo=UTC)) == datetime(2026, 3, 29, 3, 0, tzinfo=UTC)


def test_a_shutting_that_the_clock_leaves_out_comes_with_the_change() -> None:
    windows = Windows.parse(f"22:00-02:30 {VIENNA}")

    assert windows.next_change(datetime(2026, 3, 28, 23, tzinfo=UTC)) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_an_hour_that_the_clock_shows_twice_counts_twice() -> None:
    windows = Windows.parse(f"22:00-02:30 {VIENNA}")  # on 25 October 2026 the clock goes from 03:00 to 02:00

    changes = [datetime(2026, 10, 24, 23, tzinfo=UTC)]
    for _ in range(3):
        changes.append(windows.next_change(changes[-1]) or changes[-1])
    assert [f"{change:%H:%M}" for change in changes[1:]] == ["00:30", "01:00", "01:30"]


def test_every_change_of_every_zone_is_followed_to_the_minute() -> None:
    assert sum(len(changes) for _, changes in ZONES_OF_2026) > 100
    for zone, changes in ZONES_OF_2026:
        for change in changes:
            local = change.astimezone(ZoneInfo(zone))
            start, end = ((local.hour * 60 + local.minute + shift) % 1440 for shift in (-45, 15))
            windows = Windows.parse(f"{clock(start)}-{clock(end)} {zone}")
            when = change - timedelta(hours=3)
            is_open, turn = windows.open_at(when), windows.next_change(when)
            for minute in range(360):
                at = when + timedelta(minutes=minute)
                if at == turn:
                    is_open, turn = not is_open, windows.next_change(at)
                assert is_open == shown(windows, at, start, end or 1440, set(range(7))), (zone, at)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), start=MINUTES, end=MINUTES, days=st.sets(st.integers(0, 6), min_size=1))
def test_in_every_zone_and_over_both_changes_a_window_is_what_the_clock_shows(
    data: st.DataObject, start: int, end: int, days: set[int]
) -> None:
    zone, changes = data.draw(st.sampled_from(ZONES_OF_2026))
    change = data.draw(st.sampled_from(changes))
    if data.draw(st.booleans()):  # edges in the hour that is left out or shown twice
        local = change.astimezone(ZoneInfo(zone))
        start = (local.hour * 60 + local.minute + start % 120 - 60) % (24 * 60)
    end = (end + 1) % (24 * 60) if start == end else end
    windows = Windows.parse(f"{' '.join(DAYS[day] for day in sorted(days))} {clock(start)}-{clock(end)} {zone}")

    when, stop = change - timedelta(hours=30), change + timedelta(hours=30)
    turns = {when}
    while (following := windows.next_change(max(turns))) is not None and following < stop:
        turns.add(following)
    is_open = windows.open_at(when)
    for minute in range(int((stop - when).total_seconds()) // 60):
        at = when + timedelta(minutes=minute)
        is_open = is_open != (at in turns and at != when)
        assert is_open == windows.open_at(at) == shown(windows, at, start, end or 24 * 60, days), at


@settings(max_examples=100, deadline=None)
@given(zone=st.sampled_from(ZONES), start=MINUTES, day=st.integers(0, 20_000), second=st.integers(0, 86_399))
def test_a_change_is_exact_to_the_second_at_any_time_in_any_zone(zone: str, start: int, day: int, second: int) -> None:
    windows = Windows.parse(f"{clock(start)}-{clock((start + 480) % 1440)} {zone}")
    when = datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=second)

    change = windows.next_change(when)

    assert change is not None
    assert when < change <= when + timedelta(days=2)
    assert windows.open_at(change - timedelta(seconds=1)) == windows.open_at(when) != windows.open_at(change)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        pytest.param("22:00-07:00", "hours and a time zone", id="no zone"),
        pytest.param("sat 22:00-07:00 01:00-02:00", "no time zone at its end", id="hours where the zone should be"),
        pytest.param("22:00-07:00 Europe/Wien", "'Europe/Wien' is unknown", id="unknown zone"),
        pytest.param("22:00-07:00 ../../etc/passwd", "is unknown", id="a path as zone"),
        pytest.param("22:00-22:00 UTC", "holds no time", id="empty"),
        pytest.param("25:00-26:00 UTC", "no clock shows", id="no such hour"),
        pytest.param("22:61-23:00 UTC", "no clock shows", id="no such minute"),
        pytest.param("mon-fri UTC", "days without hours", id="days alone"),
        pytest.param("night 22:00-07:00 UTC", "'night', which is neither", id="unknown word"),
        pytest.param("", "hours and a time zone", id="nothing"),
        pytest.param("22:00-07:00 UTC" + " " * 500, "hours and a time zone", id="too long"),
    ],
)
def test_what_is_no_window_is_refused_with_an_example(text: str, advice: str) -> None:
    with pytest.raises(InvalidJob, match=advice):
        Windows.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_window_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidJob):
        Windows.parse(text).next_change(datetime(2026, 1, 1, tzinfo=UTC))
