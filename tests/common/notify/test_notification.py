from __future__ import annotations

import json

import pytest

from common.ledger_steps import begin, start_worker, submit
from reelmill_common.ledger import Event, Ledger
from reelmill_common.notify.notification import Notification, notification_of


def event(name: str, batch: str) -> Event:
    return Event(event_id="1500-0", name=name, batch=batch, job_id="", worker="", fields={"why": "a"})


def test_the_notification_of_a_finished_batch_says_what_became_of_its_jobs(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    start_worker(ledger)
    claimed = begin(ledger)
    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)

    made = notification_of(ledger, "main", event("batch.finished", "night"))

    assert (made.id, json.loads(made.body)["timestamp"]) == ("msg_main_1500-0", "1970-01-01T00:00:01.500Z")
    assert (made.data["total"], made.data["counts"]["failed"], made.data["failures_read"]) == (2, 1, 1)
    assert [failure["code"] for failure in made.data["failures"]] == ["bad_output"]


def test_a_batch_that_was_removed_since_leaves_the_event_alone(ledger: Ledger) -> None:
    made = notification_of(ledger, "main", event("batch.finished", "gone"))

    assert made.data == {
        "farm": "main",
        "event_id": "1500-0",
        "batch": "gone",
        "job_id": "",
        "worker": "",
        "why": "a",
    }


@pytest.mark.parametrize("body", ["", "[]", '{"data": 1}'])
def test_a_body_that_cannot_be_read_has_no_data(body: str) -> None:
    assert Notification(id="msg_1", type="batch.paused", body=body).data == {}
