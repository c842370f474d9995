from __future__ import annotations

import pytest
import redis

from common.ledger_steps import make_jobs
from reelmill_common.errors import InvalidJob, JobConflict
from reelmill_common.jobs import Batch, BatchState, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, Submitted, submission


def test_a_submitted_job_waits_with_all_that_was_asked_for(ledger: Ledger) -> None:
    job = RenderJob(batch="night", row="fox", spec=RenderSpec(prompt="Füchse 🦊 in the snow", seed=7, profile="tiny"))

    ledger.batches.submit(Batch(name="night", priority=7, weight=3, max_in_flight=2, owner="Åsa"), [job])

    view = ledger.jobs.get(job.job_id)
    assert (view.state, view.spec, view.row, view.priority) == (JobState.QUEUED, job.spec, "fox", 7)
    assert (view.attempts, view.started_at, view.error, view.result) == (0, None, None, None)
    batch = ledger.batches.get("night")
    assert (batch.state, batch.weight, batch.max_in_flight, batch.owner) == (BatchState.ACTIVE, 3, 2, "Åsa")
    assert (batch.total, batch.remaining, batch.created_at) == (1, 1, view.submitted_at)


def test_submitting_the_same_jobs_again_changes_nothing(ledger: Ledger) -> None:
    jobs = make_jobs("night", 5)
    ledger.batches.submit(Batch(name="night"), jobs)
    before = ledger.jobs.page("night"), ledger.events.read(after="0")

    again = ledger.batches.submit(Batch(name="night"), jobs)

    assert again == Submitted(added=0, unchanged=5)
    assert (ledger.jobs.page("night"), ledger.events.read(after="0")) == before


def test_one_more_row_adds_one_job_behind_the_others(ledger: Ledger) -> None:
    ledger.batches.submit(Batch(name="night"), make_jobs("night", 3))

    done = ledger.batches.submit(Batch(name="night"), make_jobs("night", 4))

    assert done == Submitted(added=1, unchanged=3)
    assert [view.row for view in ledger.jobs.page("night")] == ["r0", "r1", "r2", "r3"]


def test_a_row_given_twice_is_one_job(ledger: Ledger) -> None:
    (job,) = make_jobs("night", 1)

    assert ledger.batches.submit(Batch(name="night"), [job, job]) == Submitted(added=1, unchanged=1)
    assert ledger.batches.get("night").total == 1


def test_other_content_under_a_known_row_is_refused_and_nothing_of_its_chunk_added(ledger: Ledger) -> None:
    (known, *others) = make_jobs("night", 3)
    ledger.batches.submit(Batch(name="night"), [known])
    changed = RenderJob(batch="night", row=known.row, spec=RenderSpec(prompt="a badger", profile="tiny"))

    with pytest.raises(JobConflict, match=r"row 'r0' of batch 'night' is there with other content .*clip 0 of night"):
        ledger.batches.submit(Batch(name="night"), [*others, changed])

    assert [view.spec for view in ledger.jobs.page("night")] == [known.spec]


def test_two_contents_for_one_row_in_one_submission_are_refused(ledger: Ledger) -> None:
    (job,) = make_jobs("night", 1)
    changed = RenderJob(batch="night", row=job.row, spec=RenderSpec(prompt="a badger", profile="tiny"))

    with pytest.raises(JobConflict, match="r0"):
        ledger.batches.submit(Batch(name="night"), [job, changed])

    assert ledger.batches.all() == []


def test_conflicts_are_found_without_changing_anything(ledger: Ledger) -> None:
    jobs = make_jobs("night", 3)
    ledger.batches.submit(Batch(name="night"), jobs[:2])
    changed = RenderJob(batch="night", row="r1", spec=RenderSpec(prompt="a badger", profile="tiny"))

    assert ledger.jobs.conflicts([jobs[0], changed, jobs[2]]) == [changed]
    assert ledger.batches.get("night").total == 2


def test_many_chunks_keep_the_order_of_a_stream(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "CHUNK", 7)
    monkeypatch.setattr(submission, "CHUNKS", 3)

    done = ledger.batches.submit(Batch(name="night"), iter(make_jobs("night", 100)))

    assert done == Submitted(added=100, unchanged=0)
    assert [view.row for view in ledger.jobs.page("night")] == [f"r{row}" for row in range(100)]
    counts = [event.fields["count"] for event in ledger.events.read(after="0")]
    assert counts == ["7"] * 14 + ["2"]


def test_the_largest_chunk_fits_the_stack_of_lua(ledger: Ledger) -> None:
    count = submission.CHUNK + 1

    assert ledger.batches.submit(Batch(name="night"), make_jobs("night", count)).added == count


def test_a_batch_that_is_there_keeps_its_policy(ledger: Ledger) -> None:
    ledger.batches.submit(Batch(name="night", priority=3), make_jobs("night", 1))

    ledger.batches.submit(Batch(name="night", priority=9, weight=50), make_jobs("night", 2))

    assert (ledger.batches.get("night").priority, ledger.batches.get("night").weight) == (3, 1)


def test_a_job_of_another_batch_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidJob, match="row 'r0' belongs to batch 'day', not 'night'"):
        ledger.batches.submit(Batch(name="night"), make_jobs("day", 1))


def test_submitting_nothing_makes_no_batch(ledger: Ledger) -> None:
    assert ledger.batches.submit(Batch(name="night"), []) == Submitted(added=0, unchanged=0)
    assert ledger.batches.all() == []


def test_a_finished_batch_that_gets_more_jobs_is_active_again(ledger: Ledger) -> None:
    ledger.batches.submit(Batch(name="night"), make_jobs("night", 1))
    ledger.batches.cancel("night")
    assert ledger.batches.get("night").finished_at is not None

    ledger.batches.submit(Batch(name="night"), make_jobs("night", 2))

    batch = ledger.batches.get("night")
    assert (batch.state, batch.finished_at) == (BatchState.ACTIVE, None)


def test_farms_on_one_server_do_not_see_each_other(ledger: Ledger, redis_url: str, farm_name: str) -> None:
    with Ledger(redis.Redis.from_url(redis_url, decode_responses=True), farm=f"{farm_name}-other") as other:
        other.batches.submit(Batch(name="night"), make_jobs("night", 1))

    assert ledger.batches.all() == []
