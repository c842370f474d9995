"""The timetable: windows of batches and of workers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.ledger_steps import LANE, WORKER, begin, make_jobs, make_result, start_worker, submit, window
from fixtures.valkey import wait_for
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Claimed, Ledger, Refused, WorkerState
from reelmill_common.services.scheduler import Ticker


def measured(ledger: Ledger) -> None:
    """Let the farm finish a clip that took next to no time, so that it knows how long clips take."""
    submit(ledger, "measure", 1)
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def events(ledger: Ledger, name: str) -> list[str]:
    return [event.batch for event in ledger.events.read(after="0", count=100_000) if event.name == name]


# -- windows of batches ------------------------------------------------------------------------------------------


def test_a_batch_outside_of_its_window_waits(ledger: Ledger) -> None:
    start_worker(ledger)
    ledger.batches.submit(Batch(name="night", window=window(ledger, 3600, 7200)), make_jobs("night", 3))

    assert ledger.dispatch.pump(LANE) == []
    assert ledger.batches.get("night").state is BatchState.SCHEDULED


def test_a_batch_inside_of_its_window_runs(ledger: Ledger) -> None:
    start_worker(ledger)
    ledger.batches.submit(Batch(name="night", window=window(ledger, -3600, 3600)), make_jobs("night", 3))

    assert len(ledger.dispatch.pump(LANE)) == 2
    assert ledger.batches.get("night").state is BatchState.ACTIVE


def test_a_window_opens_and_closes_when_it_says_so(ledger: Ledger) -> None:
    start_worker(ledger)
    ticker = Ticker()
    ledger.batches.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 3))
    assert ledger.batches.get("night").shut

    wait_for(lambda: ticker.round(ledger) or not ledger.batches.get("night").shut)
    ledger.dispatch.pump(LANE)
    assert ledger.batches.get("night").counts[JobState.DISPATCHED] == 2
    ledger.timetable.set_window("night", window(ledger, -3600, 1))
    wait_for(lambda: ticker.round(ledger) or ledger.batches.get("night").shut)

    assert ledger.batches.get("night").counts[JobState.QUEUED] == 3  # what was dispatched is back in line
    assert (len(events(ledger, "batch.window_opened")), len(events(ledger, "batch.window_shut"))) == (1, 1)


def test_a_window_can_be_given_and_taken_from_a_batch_that_is_there(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    ledger.dispatch.pump(LANE)

    ledger.timetable.set_window("night", window(ledger, 3600, 7200))
    assert ledger.batches.get("night").counts[JobState.QUEUED] == 3
    assert ledger.dispatch.pump(LANE) == []

    ledger.timetable.set_window("night", "")
    assert ledger.batches.get("night").window == ""
    assert len(ledger.dispatch.pump(LANE)) == 2


def test_a_message_of_a_batch_whose_window_has_closed_dies_at_claim(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 1)
    (item,) = ledger.dispatch.pump(LANE)

    ledger.timetable.set_window("night", window(ledger, 3600, 7200))

    assert ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.HELD


def test_a_clip_that_would_end_outside_of_the_window_does_not_start(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    items = ledger.dispatch.pump(LANE)
    ledger.timetable.set_window("night", window(ledger, -3600, 20))  # nothing is measured: 30 s are the guess
    items = ledger.dispatch.pump(LANE) or items

    answer = ledger.attempts.claim(items[0].job_id, items[0].generation, WORKER, lease_s=60)

    job = ledger.jobs.get(items[0].job_id)
    assert answer is Refused.CLOSING
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert ledger.dispatch.pump(LANE) == []  # until the window opens again: no message goes around in circles
    assert ledger.batches.get("night").shut


def test_a_measured_clip_that_ends_inside_starts(ledger: Ledger) -> None:
    start_worker(ledger)
    measured(ledger)
    submit(ledger, "night", 1)
    ledger.timetable.set_window("night", window(ledger, -3600, 20))

    (item,) = ledger.dispatch.pump(LANE)

    assert isinstance(ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=60), Claimed)


def test_a_window_is_changed_by_one_ticker_only(ledger: Ledger) -> None:
    ledger.batches.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 1))
    due = wait_for(lambda: found if (found := ledger.timetable.due()).windows else None)

    turned = [ledger.timetable.update_windows(due) for _ in range(2)]

    assert turned == [1, 0]


def test_a_window_that_was_replaced_meanwhile_is_not_changed(ledger: Ledger) -> None:
    ledger.batches.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 1))
    due = wait_for(lambda: found if (found := ledger.timetable.due()).windows else None)
    ledger.timetable.set_window("night", window(ledger, 3600, 7200))

    assert ledger.timetable.update_windows(due) == 0
    assert ledger.batches.get("night").shut


def test_a_window_of_no_batch_and_no_window_are_refused(ledger: Ledger) -> None:
    submit(ledger, "night", 1)

    with pytest.raises(NotFound, match="dawn"):
        ledger.timetable.set_window("dawn", "22:00-07:00 UTC")
    with pytest.raises(InvalidJob, match="neither days nor hours"):
        ledger.timetable.set_window("night", "at night")


# -- windows of workers ------------------------------------------------------------------------------------------


def keep_hours(ledger: Ledger, window: str) -> bool:
    return Ticker(worker=WORKER, window=window).keep_hours(ledger, ledger.timetable.now())


def test_a_worker_outside_of_its_window_rests_and_counts_for_nothing(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)

    resting = keep_hours(ledger, window(ledger, 3600, 7200))

    assert resting
    assert ledger.workers.all()[0].state is WorkerState.RESTING
    assert ledger.dispatch.pump(LANE) == []


def test_a_resting_worker_wakes_with_its_window(ledger: Ledger) -> None:
    start_worker(ledger)
    measured(ledger)
    hours = window(ledger, 2, 3600)
    assert keep_hours(ledger, hours)

    wait_for(lambda: not keep_hours(ledger, hours))

    assert ledger.workers.all()[0].state is WorkerState.READY


def test_a_worker_starts_no_clip_that_would_end_outside_of_its_window(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    items = ledger.dispatch.pump(LANE)
    ledger._server.run(
        "hours", WORKER, milliseconds(ledger.timetable.now() + timedelta(seconds=600)), ""
    )  # 30 s are the guess

    answer = ledger.attempts.claim(items[0].job_id, items[0].generation, WORKER, lease_s=60)
    assert isinstance(answer, Claimed)
    ledger._server.run("hours", WORKER, milliseconds(ledger.timetable.now() + timedelta(seconds=20)), "")
    assert ledger.workers.all()[0].state is WorkerState.RESTING
    assert ledger.attempts.claim(items[1].job_id, items[1].generation, WORKER, lease_s=60) is Refused.UNFIT
    assert ledger.jobs.get(items[1].job_id).attempts == 0


def test_a_worker_that_is_started_anew_without_a_window_works_at_any_time(ledger: Ledger) -> None:
    start_worker(ledger)
    keep_hours(ledger, window(ledger, 3600, 7200))
    start_worker(ledger)  # the same name, after a crash
    submit(ledger, "night", 1)

    keep_hours(ledger, "")

    begin(ledger)
