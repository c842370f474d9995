"""Workers over HTTP."""

from __future__ import annotations

from fixtures.hand import Hand
from fixtures.visitor import Visitor


def test_a_worker_shows_its_job_or_why_it_has_none(console: Visitor, hand: Hand) -> None:
    (idle,) = console("GET", "workers").json["items"]
    console("PUT", "batches/night", {"rows": [{"id": "fox", "prompt": "a fox"}]})
    hand.claim()

    (busy,) = console("GET", "workers").json["items"]

    assert (idle["name"], idle["job"], idle["idle"]) == ("hand@test", None, "no job waits")
    assert (busy["job"]["batch"], busy["job"]["row"], busy["idle"]) == ("night", "fox", "")


def test_a_worker_is_quarantined_forgiven_and_paused(console: Visitor, hand: Hand) -> None:
    bad = console("POST", "workers/hand@test/quarantine", {"reason": "smoke"}).json
    alerts = console("GET", "farm").json["alerts"]
    forgiven = console("POST", "workers/hand@test/forgive", {}).json
    hand.ready()
    paused = console("POST", "workers/hand@test/pause").json
    resumed = console("POST", "workers/hand@test/resume").json

    assert (bad["state"], bad["reason"]) == ("quarantined", "smoke")
    assert {"name": "quarantined", "worker": "hand@test", "text": "smoke", "batch": ""} in alerts
    assert [item["state"] for item in (forgiven, paused, resumed)] == ["starting", "paused", "ready"]
    assert console("POST", "workers/nobody@x/forgive", {}).status == 404
