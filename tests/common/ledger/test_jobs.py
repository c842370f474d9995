"""Single jobs: hold and resume, a priority of their own, retries of some."""

from __future__ import annotations

import pytest

from common.ledger_steps import LANE, WORKER, begin, claim, make_result, start_worker, submit
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Ledger, Refused


@pytest.fixture(autouse=True)
def worker(ledger: Ledger) -> None:
    start_worker(ledger)


# -- hold and resume


def test_a_held_job_is_passed_over_and_comes_back_at_its_old_place(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)

    assert ledger.jobs.pause(ids[0]) is JobState.HELD
    assert begin(ledger).job_id == ids[1]
    assert ledger.jobs.resume(ids[0]) is JobState.QUEUED
    assert [item.job_id for item in ledger.dispatch.pump(LANE, depth=1)] == [ids[0]]


def test_the_message_of_a_job_that_was_held_is_stale(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)

    assert ledger.jobs.pause(ids[0]) is JobState.HELD
    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.STALE


def test_a_running_job_cannot_be_held_and_says_so(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 1)
    claimed = begin(ledger)

    assert ledger.jobs.pause(ids[0]) is JobState.RUNNING
    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    assert ledger.jobs.pause(ids[0]) is JobState.SUCCEEDED


def test_a_batch_with_held_jobs_is_not_done(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 2)
    ledger.jobs.pause(ids[1])
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())

    view = ledger.batches.get("night")

    assert (view.state, view.remaining, view.counts[JobState.HELD]) == (BatchState.ACTIVE, 1, 1)
    assert ledger.jobs.page("night", states=[JobState.HELD])[0].job_id == ids[1]


def test_resuming_a_batch_leaves_held_jobs_until_they_are_asked_for(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 120)
    for job_id in ids:
        ledger.jobs.pause(job_id)
    ledger.batches.pause("night")

    ledger.batches.resume("night")

    assert ledger.dispatch.pump(LANE) == []
    assert ledger.batches.resume_held("night") == 120
    assert ledger.batches.get("night").counts[JobState.QUEUED] == 120


def test_held_jobs_are_cancelled_with_their_batch(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    ledger.jobs.pause(ids[0])

    assert ledger.batches.cancel("night") == 3
    assert ledger.batches.get("night").state is BatchState.DONE


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_an_unknown_job_is_named(ledger: Ledger, verb: str) -> None:
    with pytest.raises(NotFound, match="no job no-such-job"):
        getattr(ledger.jobs, verb)("no-such-job")


# -- a priority of its own


def test_a_job_with_a_priority_of_its_own_is_the_next_that_starts(ledger: Ledger) -> None:
    submit(ledger, "urgent", 3, priority=7)
    ids = submit(ledger, "night", 5, priority=3)

    assert ledger.jobs.prioritize(ids[4], 9) is JobState.QUEUED
    (item,) = ledger.dispatch.pump(LANE, depth=1)

    assert (item.job_id, item.priority) == (ids[4], 9)
    assert (ledger.jobs.get(ids[4]).priority, ledger.jobs.get(ids[3]).priority) == (9, 3)


def test_a_job_can_be_put_last(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    ledger.jobs.prioritize(ids[0], 0)

    order = []
    for _ in ids:
        claimed = begin(ledger)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
        order.append(claimed.job_id)

    assert order == [ids[1], ids[2], ids[0]]


def test_a_dispatched_job_is_sent_again_with_its_new_priority(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 1)
    (old,) = ledger.dispatch.pump(LANE)

    ledger.jobs.prioritize(ids[0], 9)
    (new,) = ledger.dispatch.pump(LANE)

    assert (new.job_id, new.priority) == (ids[0], 9)
    assert ledger.attempts.claim(old.job_id, old.generation, WORKER, lease_s=60) is Refused.STALE
    assert claim(ledger, new).job_id == ids[0]


def test_a_priority_of_its_own_outlives_that_of_the_batch_but_not_its_pause(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 2)
    ledger.jobs.prioritize(ids[1], 9)
    ledger.batches.prioritize("night", 2)
    ledger.batches.pause("night")

    assert ledger.dispatch.pump(LANE) == []
    ledger.batches.resume("night")
    assert [(item.job_id, item.priority) for item in ledger.dispatch.pump(LANE)] == [(ids[1], 9), (ids[0], 2)]


def test_jobs_with_a_priority_of_their_own_are_cancelled_with_their_batch(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    ledger.jobs.prioritize(ids[1], 9)

    assert ledger.batches.cancel("night") == 3
    assert ledger.dispatch.pump(LANE) == []


def test_a_jobs_priority_out_of_range_is_refused(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 1)

    with pytest.raises(InvalidJob, match="use 0 to 9"):
        ledger.jobs.prioritize(ids[0], 10)


# -- retrying some


@pytest.fixture
def ended(ledger: Ledger) -> list[str]:
    """Return four jobs: one black, one that ran out of time, one cancelled, one succeeded."""
    ids = submit(ledger, "night", 4)
    for code in ("bad_output", "timed_out"):
        claimed = begin(ledger)
        ledger.attempts.fail(claimed.job_id, claimed.token, code, "no", retryable=False)
    ledger.jobs.cancel(ids[2])
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    return ids


def queued(ledger: Ledger) -> list[str]:
    return [view.job_id for view in ledger.jobs.page("night", states=[JobState.QUEUED])]


def test_only_failed_or_only_cancelled_jobs_are_retried(ledger: Ledger, ended: list[str]) -> None:
    assert ledger.batches.retry("night", states=[JobState.CANCELLED]) == 1
    assert queued(ledger) == [ended[2]]
    assert ledger.batches.retry("night", states=[JobState.FAILED]) == 2
    assert queued(ledger) == ended[:3]


def test_jobs_are_retried_by_the_code_of_their_error(ledger: Ledger, ended: list[str]) -> None:
    assert ledger.batches.retry("night", code="timed_out") == 1
    assert queued(ledger) == [ended[1]]
    assert ledger.batches.retry("night", code="no_such_code") == 0


def test_single_jobs_are_retried_if_they_have_failed(ledger: Ledger, ended: list[str]) -> None:
    assert ledger.jobs.retry([ended[0], ended[3]]) == 1
    assert queued(ledger) == [ended[0]]


def test_an_unknown_job_retries_none(ledger: Ledger, ended: list[str]) -> None:
    with pytest.raises(NotFound, match="no job unknown"):
        ledger.jobs.retry([ended[0], "unknown"])
    assert queued(ledger) == []
