"""A batch that fails too often pauses itself."""

from __future__ import annotations

import pytest

from common.ledger_audit import sound
from common.ledger_steps import LANE, begin, fail_one, start_worker, submit_as
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch, BatchState
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


def test_a_batch_that_uses_up_its_failures_pauses_itself_and_says_why(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", max_failures="2"), 10)
    start_worker(ledger)
    before = ledger.events.newest()

    fail_one(ledger)
    assert ledger.batches.get("night").state is BatchState.ACTIVE
    fail_one(ledger)

    view = ledger.batches.get("night")
    assert (view.state, view.why_paused) == (BatchState.PAUSED, "2 failed, and max_failures is 2")
    assert ledger.dispatch.pump(LANE) == []
    (event,) = [event for event in ledger.events.read(after=before) if event.name == "batch.paused"]
    assert event.fields == {"reason": "2 failed, and max_failures is 2"}
    sound(settings)


def test_a_resumed_batch_counts_its_failures_anew(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="2"), 10)
    start_worker(ledger)
    fail_one(ledger)
    fail_one(ledger)

    ledger.batches.resume("night")
    fail_one(ledger)

    view = ledger.batches.get("night")
    assert (view.state, view.why_paused) == (BatchState.ACTIVE, "")
    fail_one(ledger)
    assert ledger.batches.get("night").state is BatchState.PAUSED


def test_a_budget_can_be_a_share_of_the_batch(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="15%"), 20)
    start_worker(ledger)

    for _ in range(3):
        assert ledger.batches.get("night").state is BatchState.ACTIVE
        fail_one(ledger)

    assert ledger.batches.get("night").why_paused == "3 failed, and max_failures is 15%"


def test_an_attempt_that_is_tried_again_costs_nothing_of_the_budget(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="1"), 3)
    start_worker(ledger)
    claimed = begin(ledger)

    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "all frames are black", retryable=True)

    assert ledger.batches.get("night").state is BatchState.ACTIVE


@pytest.mark.parametrize("budget", ["0", "-1", "0%", "101%", "many", "1.5", "5 %", "99999999"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    with pytest.raises(InvalidJob, match="use a number such as 10, or a share of 1% to 100%"):
        Batch(name="night", max_failures=budget)
