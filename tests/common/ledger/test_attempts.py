from __future__ import annotations

import pytest
import redis

from common.ledger_steps import LANE, WORKER, begin, claim, make_result, start_worker, submit
from reelmill_common.errors import NotFound
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Claimed, Ledger, Orders, Refused
from reelmill_common.ledger.attempts import Publication
from reelmill_common.settings import Settings


@pytest.fixture(autouse=True)
def worker(ledger: Ledger) -> None:
    start_worker(ledger)


# -- claiming


def test_a_claim_starts_an_attempt(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)

    claimed = begin(ledger)

    view = ledger.jobs.get(job_id)
    assert claimed == Claimed(job_id=job_id, batch="night", row="r0", token=claimed.token, spec=view.spec)
    assert claimed.attempt == 1
    assert (view.state, view.attempts, view.worker) == (JobState.RUNNING, 1, WORKER)
    assert view.started_at is not None


def test_a_message_is_good_for_one_claim(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)
    claim(ledger, item)

    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.NOT_DISPATCHED


def test_a_message_about_an_unknown_job_is_refused(ledger: Ledger) -> None:
    assert ledger.attempts.claim("no-such-job", 1, WORKER, lease_s=60) is Refused.UNKNOWN


@pytest.mark.parametrize("verb", ["quarantine", "drain", "retire"])
def test_an_unfit_worker_may_not_claim_and_the_job_is_sent_again(ledger: Ledger, verb: str) -> None:
    submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)
    getattr(ledger.workers, verb)(WORKER, *(["black frames"] if verb == "quarantine" else []))

    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.UNFIT

    start_worker(ledger, "gpu1@test")
    (again,) = ledger.dispatch.pump(LANE)
    assert (again.job_id, again.generation) == (item.job_id, item.generation + 1)


def test_a_worker_of_another_lane_may_not_claim(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)
    start_worker(ledger, "gpu1@test", "fastwan-qad-fp8")

    assert ledger.attempts.claim(item.job_id, item.generation, "gpu1@test", lease_s=60) is Refused.UNFIT


def test_a_job_that_this_version_cannot_read_fails_instead_of_going_round(ledger: Ledger, settings: Settings) -> None:
    (job_id,) = submit(ledger, "night", 1)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(f"reelmill:{{{settings.farm}}}:spec:{job_id}", '{"prompt":"a fox","camera":"dolly"}')
    (item,) = ledger.dispatch.pump(LANE)

    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.UNKNOWN

    assert ledger.batches.get("night").counts[JobState.FAILED] == 1


# -- leases


def test_a_stage_is_recorded_and_renews_the_lease(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger, lease_s=0)

    assert ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60) is Orders.CONTINUE

    assert ledger.dispatch.reap() == 0
    assert ledger.jobs.get(claimed.job_id).stage == "denoise 2/3"


def test_a_lease_that_ran_out_is_taken_back_and_counted(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    lost = begin(ledger, lease_s=0)
    ledger.attempts.stage(lost.job_id, lost.token, "decode", lease_s=0)

    assert ledger.dispatch.reap() == 1

    view = ledger.jobs.get(lost.job_id)
    assert (view.state, view.stage, view.attempts) == (JobState.QUEUED, "", 1)
    assert view.error == {"code": "worker_lost", "message": f"worker {WORKER} stopped reporting at decode"}
    again = begin(ledger)
    assert (again.job_id, again.attempt) == (lost.job_id, 2)


def test_a_worker_that_lost_its_lease_can_do_nothing_more(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    lost = begin(ledger, lease_s=0)
    ledger.dispatch.reap()
    begin(ledger)
    before = ledger.jobs.get(lost.job_id)

    assert ledger.attempts.renew(lost.job_id, lost.token, lease_s=60) is Orders.LOST
    assert ledger.attempts.stage(lost.job_id, lost.token, "upload", lease_s=60) is Orders.LOST
    assert not ledger.attempts.finish(lost.job_id, lost.token, make_result())
    assert ledger.attempts.fail(lost.job_id, lost.token, "bad_output", "black", retryable=True) is None
    assert ledger.attempts.release(lost.job_id, lost.token) is False
    assert ledger.attempts.cancelled(lost.job_id, lost.token) is False
    assert ledger.jobs.get(lost.job_id) == before


def test_a_lease_that_is_over_but_not_reaped_still_is_its_holders(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger, lease_s=0)

    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    assert ledger.dispatch.reap() == 0


def test_reaping_many_takes_several_scripts_but_one_call(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 230)
    for item in ledger.dispatch.pump(LANE, depth=len(ids)):
        claim(ledger, item, lease_s=0)

    assert ledger.dispatch.reap() == len(ids)
    assert ledger.batches.get("night").counts[JobState.QUEUED] == len(ids)


# -- finishing


def test_a_finished_clip_is_published_with_its_result(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)

    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result("night/r0.mp4"))

    view = ledger.jobs.get(claimed.job_id)
    assert (view.state, view.result, view.worker) == (JobState.SUCCEEDED, make_result("night/r0.mp4"), WORKER)
    assert view.finished_at is not None
    batch = ledger.batches.get("night")
    assert (batch.state, batch.finished_at, batch.remaining) == (BatchState.DONE, view.finished_at, 0)


def test_the_same_attempt_may_say_finish_again_but_not_with_another_clip(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result("night/r0.mp4"))

    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result("night/r0.mp4"))
    assert not ledger.attempts.finish(claimed.job_id, claimed.token, make_result("night/other.mp4"))
    assert ledger.jobs.get(claimed.job_id).result == make_result("night/r0.mp4")
    assert [event.name for event in ledger.events.read(after="0")].count("job.finished") == 1


def test_an_earlier_attempt_cannot_pass_for_the_one_that_finished(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    early = begin(ledger, lease_s=0)
    ledger.dispatch.reap()
    late = begin(ledger)
    ledger.attempts.finish(late.job_id, late.token, make_result())

    assert not ledger.attempts.finish(early.job_id, early.token, make_result())


def test_a_clip_that_is_taken_back_is_published_by_nobody_whichever_of_two_calls_arrives_first(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)
    key = make_result().key

    assert ledger.attempts.withdraw(claimed.job_id, key, claimed.word)

    assert not ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    assert not ledger.attempts.finish(claimed.job_id, claimed.token, make_result(), adopted=claimed.word)
    assert ledger.jobs.get(claimed.job_id).state is JobState.RUNNING


def test_a_clip_that_is_removed_without_knowing_whose_it_is_is_not_adopted(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)

    assert ledger.attempts.withdraw(claimed.job_id, make_result().key, "")

    assert not ledger.attempts.finish(claimed.job_id, claimed.token, make_result(), adopted="0" * 16)
    # By the program that has put it there since.
    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def test_an_adopted_clip_says_nothing_of_how_fast_its_worker_renders(ledger: Ledger, settings: Settings) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)

    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result(), adopted="0" * 16)

    with redis.Redis.from_url(settings.redis_url) as client:
        assert client.hget(f"reelmill:{{{settings.farm}}}:worker:{WORKER}", "pace") is None


# -- failing


def test_a_retryable_failure_goes_back_to_the_front_of_its_batch(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    claimed = begin(ledger)

    state = ledger.attempts.fail(claimed.job_id, claimed.token, "out_of_memory", "14 GiB wanted", retryable=True)

    assert state is JobState.QUEUED
    assert ledger.jobs.get(ids[0]).error == {"code": "out_of_memory", "message": "14 GiB wanted"}
    assert begin(ledger).job_id == ids[0]


def test_a_job_fails_when_its_attempts_are_used_up(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    states = []
    for _ in range(3):
        claimed = begin(ledger)
        states.append(ledger.attempts.fail(claimed.job_id, claimed.token, "worker_bug", "black", retryable=True))

    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    assert ledger.dispatch.pump(LANE) == []
    view = ledger.jobs.get(claimed.job_id)
    assert (view.attempts, view.error) == (3, {"code": "worker_bug", "message": "black"})


def test_lost_workers_use_up_attempts_too(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    for _ in range(3):
        claimed = begin(ledger, lease_s=0)
        ledger.dispatch.reap()

    view = ledger.jobs.get(claimed.job_id)
    assert (view.state, (view.error or {})["code"]) == (JobState.FAILED, "worker_lost")


def test_a_failure_that_trying_again_cannot_help_is_final(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)

    state = ledger.attempts.fail(claimed.job_id, claimed.token, "prompt_too_long", "600 tokens", retryable=False)

    assert state is JobState.FAILED
    assert ledger.batches.get("night").state is BatchState.DONE


def test_an_error_message_of_any_shape_is_kept_readable(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    claimed = begin(ledger)
    message = 'a "quote", a newline\n, ünïcode 🦊, half a pair \ud83e, ' + "x" * 5000

    ledger.attempts.fail(claimed.job_id, claimed.token, "render_failed", message, retryable=False)

    error = ledger.jobs.get(claimed.job_id).error or {}
    assert error["message"].startswith('a "quote", a newline\n, ünïcode 🦊, half a pair ?, xxx')
    assert len(error["message"]) == 1000
    assert ledger.events.read(after="0")[-2].fields["message"] == error["message"]


def test_a_released_job_is_not_counted_against(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 2)
    for _ in range(5):
        claimed = begin(ledger)
        assert ledger.attempts.release(claimed.job_id, claimed.token) is True

    view = ledger.jobs.get(ids[0])
    assert (view.state, view.attempts, view.error) == (JobState.QUEUED, 5, None)


# -- retrying


def test_failed_and_cancelled_jobs_can_be_retried_with_fresh_attempts(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 3)
    failed = begin(ledger)
    ledger.attempts.fail(failed.job_id, failed.token, "bad_output", "black", retryable=False)
    ledger.jobs.cancel(ids[1])

    assert ledger.batches.retry("night") == 2

    assert [view.state for view in ledger.jobs.page("night")] == [JobState.QUEUED] * 3
    attempts = []
    for _ in range(3):
        again = begin(ledger)
        attempts.append(again.attempt)
        ledger.attempts.fail(again.job_id, again.token, "worker_bug", "black", retryable=True)
    assert attempts == [2, 3, 4]
    assert ledger.jobs.get(ids[0]).state is JobState.FAILED


# -- cancelling


def test_a_waiting_job_is_cancelled_at_once(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 2)

    assert ledger.jobs.cancel(ids[0]) is JobState.CANCELLED
    assert begin(ledger).job_id == ids[1]


def test_the_message_of_a_cancelled_job_is_stale(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)

    assert ledger.jobs.cancel(job_id) is JobState.CANCELLED
    assert ledger.attempts.claim(job_id, item.generation, WORKER, lease_s=60) is Refused.STALE


def test_a_running_job_is_asked_and_is_cancelled_when_the_worker_says_so(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    claimed = begin(ledger)
    ledger.attempts.stage(job_id, claimed.token, "denoise 1/3", lease_s=60)

    assert ledger.attempts.cancelled(job_id, claimed.token) is False  # no request was made
    assert ledger.jobs.cancel(job_id) is JobState.CANCEL_REQUESTED
    assert ledger.jobs.get(job_id).stage == "denoise 1/3"
    assert ledger.attempts.renew(job_id, claimed.token, lease_s=60) is Orders.CANCEL
    assert ledger.attempts.stage(job_id, claimed.token, "denoise 2/3", lease_s=60) is Orders.CANCEL
    assert ledger.attempts.cancelled(job_id, claimed.token) is True
    assert ledger.attempts.cancelled(job_id, claimed.token) is True  # said again: the first answer may have been lost
    assert ledger.jobs.get(job_id).state is JobState.CANCELLED


def test_a_cancelled_job_whose_worker_dies_is_not_tried_again(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    begin(ledger, lease_s=0)
    ledger.jobs.cancel(job_id)

    ledger.dispatch.reap()

    assert ledger.jobs.get(job_id).state is JobState.CANCELLED


def test_a_cancelled_job_that_fails_or_is_given_back_is_not_tried_again(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 2)
    failing, leaving = begin(ledger), begin(ledger)
    ledger.batches.cancel("night")

    state = ledger.attempts.fail(failing.job_id, failing.token, "out_of_memory", "too large", retryable=True)
    ledger.attempts.release(leaving.job_id, leaving.token)

    assert state is JobState.CANCELLED
    assert [ledger.jobs.get(job_id).state for job_id in ids] == [JobState.CANCELLED] * 2


def test_a_clip_that_is_stored_before_the_worker_hears_of_the_cancel_counts(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    claimed = begin(ledger)
    ledger.jobs.cancel(job_id)

    assert ledger.attempts.finish(job_id, claimed.token, make_result())
    assert ledger.jobs.get(job_id).state is JobState.SUCCEEDED


def test_a_final_job_stays_as_it_is_when_cancelled(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    claimed = begin(ledger)
    ledger.attempts.finish(job_id, claimed.token, make_result())

    assert ledger.jobs.cancel(job_id) is JobState.SUCCEEDED


def test_cancelling_an_unknown_job_says_so(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no job no-such-job"):
        ledger.jobs.cancel("no-such-job")


def test_a_clip_says_whether_its_end_lets_others_be_dispatched(ledger: Ledger) -> None:
    submit(ledger, "open", 1)
    submit(ledger, "capped", 2, cap=1, priority=9)
    start_worker(ledger)
    first, second = ledger.dispatch.pump(LANE, depth=2)

    capped, other = claim(ledger, first), claim(ledger, second)

    assert (capped.batch, other.batch) == ("capped", "open")
    assert ledger.attempts.finish(other.job_id, other.token, make_result()) is Publication.DONE
    assert ledger.attempts.finish(capped.job_id, capped.token, make_result()) is Publication.DONE_AND_MAKES_ROOM
