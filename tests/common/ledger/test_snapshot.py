"""The rates in a snapshot of a running farm."""

from __future__ import annotations

from reelmill_common.ledger.snapshot import take_sample


def test_rates_are_of_the_last_hour_and_of_a_batch_since_its_first_clip() -> None:
    now = 1_000_000.0

    def event(seconds_ago: float, name: str, batch: str) -> tuple[str, dict[str, str]]:
        return f"{(now - seconds_ago) * 1000:.0f}-0", {"e": name, "b": batch}

    events = [
        event(10, "job.finished", "b"),
        event(40, "job.claimed", "b"),
        event(100, "job.finished", "a"),
        event(360, "job.claimed", "a"),
        event(86_400, "job.finished", "a"),
    ]

    sample = take_sample(events, now)

    assert (sample.span_s, sample.per_h()) == (360.0, 20.0)
    assert (sample.batch_per_h("a"), sample.batch_per_h("b"), sample.batch_per_h("c")) == (10.0, 90.0, 0.0)
