"""Whose fault a failure is: tries by class of error, poisonous jobs, and workers that fail everything."""

from __future__ import annotations

from itertools import count

import pytest

from common.ledger_steps import LANE, claim, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Claimed, Ledger, Refused, WorkerInfo, WorkerState
from reelmill_common.ledger.retry_rules import RULES

GOOD, BAD = "gpu0@good", "gpu1@bad"


def take(ledger: Ledger, worker: str) -> Claimed:
    (item,) = ledger.dispatch.pump(LANE, depth=1)[:1]
    return claim(ledger, item, worker=worker)


def fail(ledger: Ledger, worker: str, code: str = "worker_bug") -> Claimed:
    """Let a worker take the next job and fail it."""
    claimed = take(ledger, worker)
    ledger.attempts.fail(claimed.job_id, claimed.token, code, "CUDA error", retryable=True)
    return claimed


def die(ledger: Ledger, worker: str, stage: str = "denoise 2/3") -> Claimed:
    """Let a worker take the next job and lose its process at a stage."""
    claimed = take(ledger, worker)
    ledger.attempts.stage(claimed.job_id, claimed.token, stage, lease_s=600)
    ledger.workers.register(worker, LANE, WorkerInfo(), ended="died")
    return claimed


def state_of(ledger: Ledger, worker: str) -> WorkerState:
    return next(view.state for view in ledger.workers.all() if view.name == worker)


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if rule.counts and rule.retries < 3 and code])
def test_each_class_of_error_has_its_own_number_of_tries(ledger: Ledger, code: str) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger, GOOD)

    tries = next(
        number for number in count(1) if ledger.jobs.get(fail(ledger, GOOD, code).job_id).state is JobState.FAILED
    )

    assert tries == 1 + RULES[code].retries
    assert (ledger.jobs.get(job_id).error or {})["code"] == code


def test_a_stores_trouble_uses_up_no_attempts(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger, GOOD)

    for _ in range(5):
        failed = fail(ledger, GOOD, "store_error")

    assert ledger.jobs.get(failed.job_id).state is JobState.QUEUED


def test_classes_share_the_overall_number_of_attempts(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger, GOOD)

    for code in ("out_of_memory", "timed_out", "bad_output"):
        fail(ledger, GOOD, code)

    assert (ledger.jobs.get(job_id).state, ledger.jobs.get(job_id).attempts) == (JobState.FAILED, 3)


def test_a_job_that_killed_two_workers_is_not_given_to_a_third(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger, GOOD)
    die(ledger, GOOD)
    start_worker(ledger, BAD)
    die(ledger, BAD, "decode")

    view = ledger.jobs.get(job_id)
    assert view.state is JobState.FAILED
    assert view.error == {
        "code": "poison",
        "message": f"killed its worker twice: {GOOD}, {BAD} (the last time: worker {BAD} lost its process at decode)",
    }


def test_jobs_on_their_way_to_the_store_are_not_blamed_for_a_death(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    for _ in range(2):
        for worker in (GOOD, BAD):
            start_worker(ledger, worker)
            die(ledger, worker, "upload")

    assert ledger.jobs.get(job_id).state is JobState.QUEUED


def test_hosts_that_vanish_put_no_job_under_suspicion(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    for worker in (GOOD, BAD):
        start_worker(ledger, worker)
        (item,) = ledger.dispatch.pump(LANE, depth=1)
        claim(ledger, item, worker=worker, lease_s=0)
        ledger.dispatch.reap()

    assert ledger.jobs.get(job_id).state is JobState.QUEUED


def test_a_job_that_failed_on_two_workers_is_at_fault_itself(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger, GOOD)
    fail(ledger, GOOD)
    start_worker(ledger, BAD)
    fail(ledger, BAD)

    view = ledger.jobs.get(job_id)
    assert view.state is JobState.FAILED
    assert (view.error or {})["message"] == f"CUDA error (it failed on {GOOD}, {BAD})"


def test_a_job_goes_to_another_worker_than_the_one_it_failed_on(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger, BAD)
    fail(ledger, BAD)
    start_worker(ledger, GOOD)
    (item,) = ledger.dispatch.pump(LANE, depth=1)

    assert ledger.attempts.claim(item.job_id, item.generation, BAD, lease_s=60) is Refused.AVOIDED

    assert take(ledger, GOOD).job_id == item.job_id


def test_a_job_goes_back_to_the_worker_it_failed_on_if_there_is_no_other(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger, BAD)

    assert fail(ledger, BAD).job_id == take(ledger, BAD).job_id


def test_a_worker_that_fails_jobs_of_two_batches_in_a_row_is_quarantined_and_they_get_their_attempts_back(
    ledger: Ledger,
) -> None:
    ids = [*submit(ledger, "one", 1), *submit(ledger, "two", 2)]
    start_worker(ledger, BAD)

    for job_id in ids:
        claimed = take(ledger, BAD)
        assert claimed.job_id in ids, job_id
        ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)

    (view,) = ledger.workers.all()
    assert (view.state, view.may_return) == (WorkerState.QUARANTINED, True)
    assert view.reason == "failed 3 jobs in a row of 2 batches, the last with bad_output"
    assert {ledger.jobs.get(job_id).state for job_id in ids} == {JobState.QUEUED}
    start_worker(ledger, GOOD)
    for _ in ids:
        claimed = take(ledger, GOOD)
        assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def test_a_worker_that_fails_what_others_can_make_is_quarantined_within_one_batch(ledger: Ledger) -> None:
    submit(ledger, "night", 5)
    start_worker(ledger, BAD)
    start_worker(ledger, GOOD)
    items = list(ledger.dispatch.pump(LANE, depth=3))

    for item in items[:2]:
        claimed = claim(ledger, item, worker=BAD)
        ledger.attempts.fail(claimed.job_id, claimed.token, "worker_bug", "CUDA error", retryable=True)
    for item in ledger.dispatch.pump(LANE, depth=3)[:1]:
        claimed = claim(ledger, item, worker=GOOD)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    third = claim(ledger, items[2], worker=BAD)
    ledger.attempts.fail(third.job_id, third.token, "worker_bug", "CUDA error", retryable=True)

    assert state_of(ledger, BAD) is WorkerState.QUARANTINED
    assert state_of(ledger, GOOD) is WorkerState.READY


def test_a_clip_in_between_clears_a_worker(ledger: Ledger) -> None:
    submit(ledger, "one", 4)
    submit(ledger, "two", 4)
    start_worker(ledger, BAD)

    for _ in range(2):
        for _ in range(2):
            claimed = take(ledger, BAD)
            ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)
        claimed = take(ledger, BAD)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())

    assert state_of(ledger, BAD) is WorkerState.READY


def test_bad_prompts_of_one_batch_cost_no_worker(ledger: Ledger) -> None:
    submit(ledger, "night", 6)
    start_worker(ledger, GOOD)

    for _ in range(6):
        fail(ledger, GOOD, "bad_output")

    assert state_of(ledger, GOOD) is WorkerState.READY


def test_a_quarantine_for_failures_ends_with_time_and_the_worker_starts_again(ledger: Ledger) -> None:
    submit(ledger, "one", 1)
    submit(ledger, "two", 2)
    start_worker(ledger, BAD)
    for _ in range(3):
        claimed = take(ledger, BAD)
        ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)

    def state_after(forgive_after_s: float) -> WorkerState | None:
        view = ledger.workers.beat(BAD, forgive_after_s=forgive_after_s)
        return view.state if view else None

    assert state_after(0) is WorkerState.QUARANTINED
    assert state_after(3600) is WorkerState.QUARANTINED
    wait_for(lambda: state_after(0.001) is WorkerState.STARTING, what="the next millisecond")


def test_a_quarantine_that_a_person_must_look_at_does_not_end_with_time(ledger: Ledger) -> None:
    start_worker(ledger, BAD)
    ledger.workers.quarantine(BAD, "the canary came out black")

    view = ledger.workers.beat(BAD, forgive_after_s=0.000001)

    assert view is not None
    assert (view.state, view.may_return) == (WorkerState.QUARANTINED, False)


# -- claims whose answer is lost


def test_a_claim_that_is_repeated_gets_the_same_lease(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger, GOOD)
    (item,) = ledger.dispatch.pump(LANE)
    first = ledger.attempts.claim(item.job_id, item.generation, GOOD, lease_s=600, word="7f")

    assert ledger.attempts.claim(item.job_id, item.generation, GOOD, lease_s=600, word="7f") == first
    assert ledger.jobs.get(item.job_id).attempts == 1


def test_a_message_that_comes_twice_to_one_worker_is_claimed_once(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger, GOOD)
    (item,) = ledger.dispatch.pump(LANE)
    claim(ledger, item, worker=GOOD)

    assert ledger.attempts.claim(item.job_id, item.generation, GOOD, lease_s=600) is Refused.NOT_DISPATCHED
