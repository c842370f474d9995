"""The farm as a whole over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.visitor import Visitor


def test_the_farm_says_what_it_does_and_what_is_wrong(make_console: Callable[..., Visitor]) -> None:
    console = make_console(flower_url="https://flower.example.org/")
    console("PUT", "batches/night", {"rows": ["a fox", "an owl"]})

    farm = console("GET", "farm").json

    assert (farm["waiting"], farm["running"], farm["workers"]) == (2, 0, {})
    assert farm["links"] == {"flower": "https://flower.example.org/", "grafana": None}
    assert [alert["name"] for alert in farm["alerts"]] == ["no_worker"]
