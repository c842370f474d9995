from __future__ import annotations

from collections import Counter

from common.ledger_steps import LANE, claim, make_jobs, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Ledger, QueueStats

OTHER_LANE = "fastwan-qad-fp8"


def test_a_new_farm_has_nothing(ledger: Ledger) -> None:
    stats = ledger.overview.stats()

    assert stats.lines == []
    assert set(stats.ended.values()) == set(stats.batches.values()) == {0}


def test_every_job_is_counted_once_where_it_stands(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "done", 2, priority=9)
    for item in ledger.dispatch.pump(LANE, depth=2):
        claimed = claim(ledger, item)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    submit(ledger, "night", 9, priority=7)
    running, stopping, failing, *_sent = ledger.dispatch.pump(LANE, depth=5)
    claim(ledger, running)
    claim(ledger, stopping)
    ledger.jobs.cancel(stopping.job_id)
    failed = claim(ledger, failing)
    ledger.attempts.fail(failed.job_id, failed.token, "bad_output", "black", retryable=False)
    submit(ledger, "later", 3, priority=7)
    ledger.batches.pause("later")
    submit(ledger, "urgent", 1, priority=9)
    ledger.batches.submit(Batch(name="two-lanes", priority=7), make_jobs("two-lanes", 4, lane=OTHER_LANE))
    ledger.batches.submit(Batch(name="two-lanes", priority=7), make_jobs("two-lanes", 2, start=4))
    ledger.batches.submit(Batch(name="tomorrow", priority=7, start_after=4e9), make_jobs("tomorrow", 2))
    ledger.batches.submit(Batch(name="sequel", priority=7, after=("later",)), make_jobs("sequel", 1))
    cancelled = submit(ledger, "given-up", 1)
    ledger.jobs.cancel(cancelled[0])

    stats = ledger.overview.stats()

    assert live(stats) == live_by_looking(ledger)
    assert stats.ended == {JobState.SUCCEEDED: 2, JobState.FAILED: 1, JobState.CANCELLED: 1}
    assert stats.batches == {
        BatchState.ACTIVE: 3,
        BatchState.PAUSED: 1,
        BatchState.DONE: 2,
        BatchState.SCHEDULED: 2,
    }
    assert live(stats)[(LANE, 7, BatchState.ACTIVE, JobState.CANCEL_REQUESTED)] == 1
    assert live(stats)[(LANE, 7, BatchState.PAUSED, JobState.QUEUED)] == 3
    assert live(stats)[(LANE, 7, BatchState.SCHEDULED, JobState.QUEUED)] == 3
    assert live(stats)[(OTHER_LANE, 7, BatchState.ACTIVE, JobState.QUEUED)] == 4


def test_the_oldest_wait_is_that_of_the_job_submitted_first(ledger: Ledger) -> None:
    submit(ledger, "old", 1)
    first = wait_for(
        lambda: (
            ledger.overview.stats().lines[0].oldest_wait_s >= 0.05 and ledger.overview.stats().lines[0].oldest_wait_s
        )
    )
    before_the_new = ledger.timetable.now()
    submit(ledger, "new", 1)
    (line,) = ledger.overview.stats().lines
    ledger.batches.cancel("old")
    (without,) = ledger.overview.stats().lines

    assert line.oldest_wait_s >= float(first)
    assert without.oldest_wait_s <= (ledger.timetable.now() - before_the_new).total_seconds() + 0.01


def live(stats: QueueStats) -> Counter[tuple[str, int, BatchState, JobState]]:
    found: Counter[tuple[str, int, BatchState, JobState]] = Counter()
    for line in stats.lines:
        for state, count in line.counts.items():
            found[(line.lane, line.priority, line.batch_state, state)] += count
    return +found


def live_by_looking(ledger: Ledger) -> Counter[tuple[str, int, BatchState, JobState]]:
    """Count the same from each job's own record."""
    return Counter(
        (job.spec.profile, batch.priority, batch.state, job.state)
        for batch in ledger.batches.all()
        for job in ledger.jobs.page(batch.name)
        if not job.state.is_final
    )
