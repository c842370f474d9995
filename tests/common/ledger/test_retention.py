from __future__ import annotations

import pytest
import redis

from common.ledger_audit import audit, snapshot
from common.ledger_steps import begin, make_jobs, start_worker, submit
from fixtures.hand import Hand
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch
from reelmill_common.ledger import ClipChoice, ClipMark, Ledger
from reelmill_common.settings import Settings


def test_silent_workers_are_forgotten_but_not_what_they_hold(ledger: Ledger) -> None:
    start_worker(ledger, "gpu0@gone")
    ledger.workers.quarantine("gpu0@gone", "the canary is black")
    start_worker(ledger)
    submit(ledger, "night", 1)
    begin(ledger)

    assert ledger.retention.prune_workers(3600) == []
    assert ledger.retention.prune_workers(-1) == ["gpu0@gone"]
    assert [worker.name for worker in ledger.workers.all()] == ["gpu0@test"]


def test_a_job_that_has_ended_is_forgotten_alone(ledger: Ledger, hand: Hand, settings: Settings) -> None:
    jobs = make_jobs("night", 3)
    ledger.batches.submit(Batch(name="night"), jobs)
    hand.finish(hand.claim())
    hand.fail(hand.claim())
    ledger.choices.set(jobs[0].job_id, ClipChoice(mark=ClipMark.FAVOURITE))

    with pytest.raises(InvalidJob, match="has not ended; cancel it first"):
        ledger.retention.forget_job(jobs[2].job_id)
    for job in jobs[:2]:
        ledger.retention.forget_job(job.job_id)

    view = ledger.batches.get("night")
    assert (view.total, view.remaining, ledger.jobs.ids("night")) == (1, 1, [jobs[2].job_id])
    with pytest.raises(NotFound):
        ledger.jobs.get(jobs[0].job_id)
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        audit(snapshot(client, settings.farm))
        left = [key for key in client.keys(f"reelmill:{{{settings.farm}}}:*") if jobs[0].job_id in key]
    assert left == []
    assert ledger.choices.chosen("night", ClipMark.FAVOURITE) == []


def test_a_forgotten_job_is_rendered_anew_under_another_attempt(ledger: Ledger, hand: Hand) -> None:
    (job,) = make_jobs("night", 1)
    ledger.batches.submit(Batch(name="night"), [job])
    first = hand.finish(hand.claim())
    ledger.retention.forget_job(job.job_id)

    ledger.batches.submit(Batch(name="night"), [job])
    second = hand.finish(hand.claim())

    assert first.key != second.key
    with pytest.raises(NotFound, match="no job"):
        ledger.retention.forget_job("00000000-0000-5000-8000-000000000000")
