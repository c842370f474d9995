"""The style of Flower's table of tasks."""

from __future__ import annotations

from reelmill_producer.dashboards.flower_style import style


def test_a_phone_shows_the_columns_that_matter() -> None:
    wide, _, phone = style(["received", "prompt", "worker_class"]).partition("max-width: 700px")
    hidden = [column for column in (1, 2, 3) if f"td:nth-child({column}) {{ display: none }}" in phone]

    assert hidden == [1, 3]
    assert "td:nth-child(1) { width: 128px !important }" in wide
    assert "td:nth-child(2) { width: auto !important }" in wide
