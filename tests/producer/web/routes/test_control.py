"""Batches steered over HTTP."""

from __future__ import annotations

from fixtures.hand import Hand
from fixtures.visitor import Visitor
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger


def test_a_batch_is_paused_resumed_cancelled_and_tried_again(console: Visitor, ledger: Ledger) -> None:
    console("PUT", "batches/night", {"rows": ["a fox", "an owl"]})

    paused = console("POST", "batches/night/pause").json
    resumed = console("POST", "batches/night/resume", {}).json
    cancelled = console("POST", "batches/night/cancel").json
    retried = console("POST", "batches/night/retry", {}).json

    assert (paused["paused"], resumed["paused"]) == (True, False)
    assert (cancelled, retried["count"]) == ({"count": 2, "unconfirmed": 0}, 2)
    assert ledger.batches.get("night").counts[JobState.QUEUED] == 2


def test_only_some_failures_are_tried_again(console: Visitor, hand: Hand) -> None:
    console("PUT", "batches/night", {"rows": ["a fox", "an owl", "a hare"]})
    hand.fail(hand.claim(), "bad_output")
    hand.fail(hand.claim(), "out_of_memory")

    counts = [console("POST", "batches/night/retry", body).json["count"]
              for body in ({"code": "no_such"}, {"states": ["cancelled"]}, {"code": "bad_output"})]  # fmt: skip

    assert counts == [0, 0, 1]
    assert console("POST", "batches/night/retry", {"rows": ["nobody"]}).status == 404
    assert console("POST", "batches/night/retry", {"colour": 1}).status == 422


def test_a_policy_is_changed_in_part(console: Visitor, ledger: Ledger) -> None:
    console("PUT", "batches/night", {"rows": ["a fox"]}, weight=3)

    changed = console("PATCH", "batches/night", {"priority": 9, "window": "22:00-07:00 Europe/Vienna"}).json
    wrong = console("PATCH", "batches/night", {"priority": 12})

    view = ledger.batches.get("night")
    assert (view.priority, view.weight, view.window) == (9, 3, "22:00-07:00 Europe/Vienna")
    assert (changed["priority"], changed["window"]) == (9, "22:00-07:00 Europe/Vienna")
    assert (wrong.status, wrong.code) == (422, "invalid_job")
    assert console("PATCH", "batches/night", {"window": ""}).json["window"] == ""
