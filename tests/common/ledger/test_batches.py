"""Batches: pausing, resuming, prioritizing, cancelling and retrying whole batches."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.ledger_steps import LANE, WORKER, begin, claim, make_jobs, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Dispatch, Ledger, Orders, Refused


def test_pausing_stops_what_waits_and_what_was_sent_but_not_what_runs(ledger: Ledger) -> None:
    submit(ledger, "night", 5)
    start_worker(ledger)
    running = begin(ledger)
    (sent,) = ledger.dispatch.pump(LANE, depth=1)

    ledger.batches.pause("night")

    assert ledger.batches.get("night").state is BatchState.PAUSED
    assert ledger.attempts.claim(sent.job_id, sent.generation, WORKER, lease_s=60) is Refused.HELD
    assert ledger.dispatch.pump(LANE) == []
    assert ledger.attempts.renew(running.job_id, running.token, lease_s=60) is Orders.CONTINUE


def test_a_resumed_batch_goes_on_where_it_was(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    start_worker(ledger)
    stale = ledger.dispatch.pump(LANE, depth=2)
    ledger.batches.pause("night")

    ledger.batches.resume("night")

    assert ledger.batches.get("night").state is BatchState.ACTIVE
    assert [(item.job_id, item.generation) for item in ledger.dispatch.pump(LANE, depth=2)] == [
        (ids[0], 2),
        (ids[1], 2),
    ]
    assert ledger.attempts.claim(stale[0].job_id, stale[0].generation, WORKER, lease_s=60) is Refused.STALE


def test_pausing_frees_the_depth_for_others(ledger: Ledger) -> None:
    submit(ledger, "night", 5)
    submit(ledger, "day", 5, priority=1)
    start_worker(ledger)
    ledger.dispatch.pump(LANE, depth=2)

    ledger.batches.pause("night")

    assert [item.priority for item in ledger.dispatch.pump(LANE, depth=2)] == [1, 1]


def test_a_new_priority_acts_on_the_next_pump_even_for_what_was_sent(ledger: Ledger) -> None:
    (first, *_) = submit(ledger, "night", 5, priority=3)
    submit(ledger, "day", 5, priority=4)
    start_worker(ledger)
    ledger.batches.pause("day")
    (sent,) = ledger.dispatch.pump(LANE, depth=1)
    ledger.batches.resume("day")

    ledger.batches.prioritize("night", 8)

    (again,) = ledger.dispatch.pump(LANE, depth=1)
    assert (sent.job_id, sent.priority) == (first, 3)
    assert (again.job_id, again.priority, again.generation) == (first, 8, 2)
    assert ledger.jobs.get(first).priority == 8


def test_a_priority_out_of_range_is_refused(ledger: Ledger) -> None:
    submit(ledger, "night", 1)

    with pytest.raises(InvalidJob, match="priority=10 is out of range; use 0 to 9"):
        ledger.batches.prioritize("night", 10)


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry", "get"])
def test_a_batch_that_is_not_there_is_named(ledger: Ledger, verb: str) -> None:
    with pytest.raises(NotFound, match="no batch 'nihgt'"):
        getattr(ledger.batches, verb)("nihgt")


def test_a_batch_that_is_not_there_has_no_page_of_jobs(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no batch 'nihgt'"):
        ledger.jobs.page("nihgt")


def test_retrying_many_takes_several_scripts_but_one_call(ledger: Ledger) -> None:
    start_worker(ledger)
    ids = submit(ledger, "night", 230)
    assert ledger.batches.cancel("night") == len(ids)

    assert ledger.batches.retry("night") == len(ids)
    assert ledger.batches.get("night").counts[JobState.QUEUED] == len(ids)
    assert ledger.batches.retry("night") == 0


def test_cancelling_a_batch_reaches_all_jobs_that_are_not_final(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 5)
    done, running = begin(ledger), begin(ledger)
    ledger.attempts.finish(done.job_id, done.token, make_result())
    ledger.dispatch.pump(LANE, depth=1)

    assert ledger.batches.cancel("night") == 4

    counts = ledger.batches.get("night").counts
    assert (counts[JobState.CANCELLED], counts[JobState.CANCEL_REQUESTED], counts[JobState.SUCCEEDED]) == (3, 1, 1)
    assert ledger.batches.get("night").state is BatchState.ACTIVE  # not cancelled before the worker has confirmed it
    ledger.attempts.cancelled(running.job_id, running.token)
    assert ledger.batches.get("night").state is BatchState.DONE


def dispatched_of(ledger: Ledger, count: int) -> list[Dispatch]:
    """Dispatch so many jobs of a batch: more than one step takes back."""
    submit(ledger, "night", count)
    start_worker(ledger)
    return list(ledger.dispatch.pump(LANE, depth=count))


def test_a_large_batch_is_paused_at_once_and_its_messages_follow_in_steps(ledger: Ledger) -> None:
    items = dispatched_of(ledger, 400)

    ledger._server.run("pause", "night")  # as of a client that dies then

    left = [job.job_id for job in ledger.jobs.page("night", states=[JobState.DISPATCHED])]
    assert 200 < len(left) < 400
    item = next(item for item in items if item.job_id in left)
    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.HELD
    assert ledger.jobs.get(item.job_id).state is JobState.QUEUED
    ledger.dispatch.recall()
    assert ledger.batches.get("night").counts[JobState.QUEUED] == 400


def test_what_is_dispatched_after_a_pause_is_over_is_not_taken_back(ledger: Ledger) -> None:
    dispatched_of(ledger, 400)
    ledger._server.run("pause", "night")
    ledger.batches.resume("night")
    paused_at = ledger.timetable.now()
    wait_for(lambda: ledger.timetable.now() > paused_at + timedelta(milliseconds=2), what="another millisecond")
    fresh = ledger.dispatch.pump(LANE, depth=400)

    ledger.dispatch.recall()

    assert fresh
    assert ledger.batches.get("night").counts[JobState.DISPATCHED] == len(fresh)


def test_a_large_batch_in_flight_is_cancelled_to_the_last_job(ledger: Ledger) -> None:
    items = dispatched_of(ledger, 400)
    claim(ledger, items[7])
    submit_more(ledger, 300)

    assert ledger.batches.cancel("night") == 700

    counts = ledger.batches.get("night").counts
    assert (counts[JobState.CANCELLED], counts[JobState.CANCEL_REQUESTED]) == (699, 1)


def submit_more(ledger: Ledger, count: int) -> None:
    ledger.batches.submit(Batch(name="night"), make_jobs("night", count, start=10_000))
