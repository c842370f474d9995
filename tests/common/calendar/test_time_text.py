"""Times, days and spans as people write them: what each text means, and what is refused with an example."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from reelmill_common.calendar.time_text import day_at, span_s, time_at
from reelmill_common.errors import InvalidJob

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")


@pytest.fixture
def in_vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock is that of Vienna."""
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("90m", NOON + timedelta(minutes=90), id="a span"),
        pytest.param("+2d", NOON + timedelta(days=2), id="a span with a sign"),
        pytest.param("22:30", NOON.replace(hour=22, minute=30), id="a time of this day"),
        pytest.param("07:00", NOON.replace(day=25, hour=7), id="a time that was today is tomorrow's"),
        pytest.param("2026-12-24T07:00", datetime(2026, 12, 24, 7, tzinfo=UTC), id="without a zone"),
        pytest.param("2026-12-24T07:00+01:00", datetime(2026, 12, 24, 6, tzinfo=UTC), id="with a zone"),
    ],
)
def test_a_time_can_be_written_in_several_ways(text: str, meant: datetime) -> None:
    assert time_at("--by", text, NOON, UTC) == meant


@pytest.mark.parametrize("zone", [VIENNA, None], ids=["zone", "machine"])
@pytest.mark.parametrize(
    ("text", "now", "meant"),
    [
        pytest.param("2027-07-01T07:00", NOON, datetime(2027, 7, 1, 5, tzinfo=UTC), id="a summer's day, from winter"),
        pytest.param("13:30", NOON, NOON.replace(hour=12, minute=30), id="later today"),
        pytest.param(
            "07:00", datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 5, tzinfo=UTC), id="the clock changes"
        ),
    ],
)
@pytest.mark.usefixtures("in_vienna")
def test_a_time_without_a_zone_follows_its_zones_clock_on_that_day(
    text: str, now: datetime, meant: datetime, zone: tzinfo | None
) -> None:
    assert time_at("--by", text, now, zone) == meant


@pytest.mark.parametrize(
    "text",
    ["soon", "25:00", "12:60", "8", "-8h", "2026-13-01", "999999d9", "9999999999h", "07:00 ", "0001-01-01T00:00+09:00"],
)
def test_what_is_not_a_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidJob, match=r"--expires .* is not a valid time; give 07:00, 2026-12-24T07:00"):
        time_at("--expires", text, NOON, UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("45s", 45), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert span_s("--older", text) == seconds


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC), id="a date"),
        pytest.param("7d", NOON - timedelta(days=7), id="days ago"),
    ],
)
def test_a_day_is_a_date_or_a_span_before_now(text: str, meant: datetime) -> None:
    assert day_at("--since", text, NOON) == meant


@pytest.mark.parametrize(
    ("read", "text", "advice"),
    [
        pytest.param(lambda text: span_s("--older", text), "soon", "--older 'soon' is not a valid span", id="span"),
        pytest.param(lambda text: span_s("--older", text), "30", "such as 30d", id="span without a unit"),
        pytest.param(lambda text: day_at("--since", text, NOON), "yesterday", "is not a valid day; give", id="day"),
        pytest.param(lambda text: day_at("--since", text, NOON), "999999d", "or 7d for", id="a day before all time"),
    ],
)
def test_what_is_neither_a_span_nor_a_day_is_refused_with_an_example(
    read: Callable[[str], object], text: str, advice: str
) -> None:
    with pytest.raises(InvalidJob, match=advice):
        read(text)
