"""Forecasts: made once for some seconds, and the hours in which a window is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fixtures.hand import Hand
from reelmill_producer.analysis.plans import Forecast
from reelmill_producer.client import Reelmill
from reelmill_producer.web.forecasts import Forecaster, open_spans

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def forecast(window: str, hours: float | None) -> Forecast:
    finish = None if hours is None else NOW + timedelta(hours=hours)
    return Forecast(batch="b", priority=5, remaining=1, finish_at=finish, left=0, why="", window=window)


def test_a_forecast_is_made_once_for_some_seconds(client: Reelmill, hand: Hand) -> None:
    client.submit_many(["a fox", "an owl"], batch="night")
    hand.finish(hand.claim(), seconds={"denoise": 2.0})
    forecaster = Forecaster()

    first = forecaster.plan(client)

    assert forecaster.plan(client) is first
    assert forecaster.plan(client, anew=True) is not first
    finish = forecaster.finish_of(client, "night")
    assert finish is not None
    assert finish > first.now.timestamp()
    assert forecaster.finish_of(client, "none") is None
    assert forecaster.ends(client) == {"night": finish}
    assert forecaster.ends(client) is forecaster.ends(client)  # one for a whole list of batches


def test_a_window_is_open_in_its_hours_up_to_the_end() -> None:
    spans = [
        (start - NOW.timestamp(), end - NOW.timestamp())
        for start, end in open_spans(forecast("22:00-02:00 UTC", 35), NOW)
    ]

    assert [(start / 3600, end / 3600) for start, end in spans] == [(10, 14), (34, 35)]
    assert list(open_spans(forecast("", 5), NOW)) == []
    assert list(open_spans(forecast("22:00-02:00 UTC", None), NOW)) == []
