"""When a batch may start: at a time, before another, after others."""

from __future__ import annotations

import time

import pytest

from common.ledger_audit import sound
from common.ledger_steps import (
    LANE,
    WORKER,
    begin,
    change,
    fail_one,
    finish_one,
    make_result,
    order_of,
    start_worker,
    submit,
    submit_as,
)
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Ledger, PolicyChange, Refused, Wait
from reelmill_common.settings import Settings


def sweep_when_due(ledger: Ledger, *, deadline_s: float = 60.0) -> None:
    ends = time.monotonic() + deadline_s
    while not ledger.dispatch.sweep():
        assert time.monotonic() < ends, "nothing came due"


# -- times


def test_a_batch_waits_for_its_start_and_is_released_by_a_sweep(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", start_after=ledger.timetable.now().timestamp() + 3600), 3)
    start_worker(ledger)

    view = ledger.batches.get("night")
    assert (view.state, view.waits_for) == (BatchState.SCHEDULED, (Wait(kind="start", until=view.start_after),))
    assert ledger.dispatch.pump(LANE) == []
    sound(settings)

    start = ledger.timetable.now().timestamp() + 0.3
    change(ledger, "night", PolicyChange(start_after=start))
    sweep_when_due(ledger)

    assert ledger.timetable.now().timestamp() >= start
    assert ledger.batches.get("night").state is BatchState.ACTIVE
    assert len(ledger.dispatch.pump(LANE, depth=2)) == 2


def test_a_start_that_is_moved_into_the_future_takes_back_what_was_sent(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)
    (sent,) = ledger.dispatch.pump(LANE, depth=1)

    change(ledger, "night", PolicyChange(start_after=4e9))
    assert ledger.batches.get("night").state is BatchState.SCHEDULED
    refused = ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60)
    change(ledger, "night", PolicyChange(start_after=0.0))

    assert refused is Refused.STALE
    assert len(ledger.dispatch.pump(LANE, depth=1)) == 1


def test_what_has_not_started_when_its_batch_expires_fails_unrendered(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.timetable.now().timestamp() + 3600), 120)
    start_worker(ledger)
    running = begin(ledger)
    (sent,) = ledger.dispatch.pump(LANE, depth=1)
    assert ledger.dispatch.sweep() == 0

    change(ledger, "night", PolicyChange(expires_at=ledger.timetable.now().timestamp() + 0.1))
    sweep_when_due(ledger)

    assert ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60) is Refused.STALE
    assert ledger.attempts.finish(running.job_id, running.token, make_result())
    view = ledger.batches.get("night")
    assert (view.state, view.counts[JobState.FAILED], view.counts[JobState.SUCCEEDED]) == (BatchState.DONE, 119, 1)
    job = ledger.jobs.get(sent.job_id)
    assert (job.error or {})["code"] == "expired"
    assert job.attempts == 0
    sound(settings)


def test_a_message_that_comes_after_the_expiry_is_refused_also_without_a_sweep(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.timetable.now().timestamp() + 3600), 2)
    start_worker(ledger)
    (sent,) = ledger.dispatch.pump(LANE, depth=1)
    # Time passes: to change the time through the ledger would take the message back.
    ledger._server._redis.hset(ledger._keys.batch("night"), "expires", milliseconds(ledger.timetable.now()) - 1)

    assert ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60) is Refused.HELD
    assert ledger.dispatch.pump(LANE) == []


def test_expired_jobs_cost_nothing_of_the_budget_and_can_be_retried_later(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.timetable.now().timestamp() - 1, max_failures="1"), 3)
    start_worker(ledger)
    assert ledger.dispatch.pump(LANE) == []
    ledger.dispatch.sweep()
    assert ledger.batches.retry("night") == 3
    assert ledger.dispatch.sweep() == 4  # three jobs again, and the batch

    change(ledger, "night", PolicyChange(expires_at=0.0))
    ledger.batches.retry("night")

    assert ledger.batches.get("night").state is BatchState.ACTIVE
    assert order_of(ledger, 3) == ["night"] * 3


def test_a_batch_that_would_expire_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidJob, match="nothing could ever start"):
        Batch(name="night", start_after=2000.0, expires_at=1000.0)


# -- batches that wait for others


def test_a_batch_waits_until_the_others_have_succeeded(ledger: Ledger, settings: Settings) -> None:
    submit(ledger, "amber", 1)
    submit(ledger, "birch", 1)
    submit_as(ledger, Batch(name="cedar", after=["amber", "birch"], priority=9), 1)
    start_worker(ledger)
    assert ledger.batches.get("cedar").state is BatchState.SCHEDULED

    first = order_of(ledger, 1)
    assert ledger.batches.get("cedar").waits_for == (Wait(kind="after", batch="birch"),)
    rest = order_of(ledger, 2)

    assert first + rest == ["amber", "birch", "cedar"]
    assert ledger.batches.get("cedar").waits_for == ()
    sound(settings)


def test_a_batch_whose_predecessor_failed_goes_on_waiting_and_says_so(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)
    before = ledger.events.newest()

    fail_one(ledger)

    assert ledger.dispatch.pump(LANE) == []
    assert ledger.batches.get("birch").waits_for == (Wait(kind="after", batch="amber", stuck=True),)
    assert [event.fields for event in ledger.events.read(after=before) if event.name == "batch.stuck"] == [
        {"after": "amber"}
    ]


def test_a_predecessor_that_succeeds_after_a_retry_lets_the_batch_run(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)
    fail_one(ledger)

    ledger.batches.retry("amber")
    assert ledger.batches.get("birch").waits_for == (Wait(kind="after", batch="amber"),)

    assert order_of(ledger, 2) == ["amber", "birch"]


def test_a_batch_after_any_end_runs_also_after_failures(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after_any=["amber"]), 1)
    start_worker(ledger)
    assert ledger.batches.get("birch").state is BatchState.SCHEDULED

    fail_one(ledger)

    assert order_of(ledger, 1) == ["birch"]


def test_a_batch_after_one_that_has_succeeded_starts_at_once(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    start_worker(ledger)
    finish_one(ledger)

    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)

    assert order_of(ledger, 1) == ["birch"]


def test_what_a_batch_waits_for_can_be_taken_away(ledger: Ledger) -> None:
    submit(ledger, "amber", 1, priority=1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)

    change(ledger, "birch", PolicyChange(after=()))

    assert order_of(ledger, 1) == ["birch"]


def test_a_batch_after_one_that_is_not_there_is_refused_and_nothing_is_made(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="'birch' should wait for 'amber', which is not there; submit 'amber' first"):
        submit_as(ledger, Batch(name="birch", after=["amber"]), 600)

    assert ledger.batches.all() == []


def test_batches_that_would_wait_for_each_other_are_refused(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    submit_as(ledger, Batch(name="cedar", after_any=["birch"]), 1)

    with pytest.raises(InvalidJob, match="'amber' cannot wait for 'cedar', which waits for 'amber' itself"):
        change(ledger, "amber", PolicyChange(after=["cedar"]))

    assert ledger.batches.get("amber").state is BatchState.ACTIVE


def test_a_batch_cannot_wait_for_itself() -> None:
    with pytest.raises(InvalidJob, match="cannot wait for itself"):
        Batch(name="night", after=["night"])
