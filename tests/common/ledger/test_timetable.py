"""The timetable: windows of batches and workers, and schedules that run once however many tick."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta

import pytest

from common.ledger_scene import LANE, WORKER, begin, make_jobs, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.errors import InvalidJob, JobConflict, NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Claimed, Ledger, Refused, WorkerState
from reelmill_common.schedules import Schedule
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings


def window(ledger: Ledger, start_s: float, end_s: float) -> str:
    """Return a window from and to so many seconds from now or up to one more, by the server's clock."""
    now = ledger.now() + timedelta(seconds=1)  # windows have whole seconds, and none may open before it is made
    start, end = (now + timedelta(seconds=seconds) for seconds in (start_s, end_s))
    return f"{start:%H:%M:%S}-{end:%H:%M:%S} UTC"


def measured(ledger: Ledger) -> None:
    """Let the farm finish a clip that took next to no time, so that it knows how long clips take."""
    submit(ledger, "measure", 1)
    claimed = begin(ledger)
    ledger.finish(claimed.job_id, claimed.token, make_result())


def events(ledger: Ledger, name: str) -> list[str]:
    return [event.batch for event in ledger.events(after="0", count=100_000) if event.name == name]


def add(ledger: Ledger, cron: str = "* * * * * *", *, rows: int = 3, catch_up: str = "skip") -> None:
    ledger.add_schedule(
        Schedule(name="nightly", cron=Cron.parse(cron, "UTC"), catch_up=catch_up, policy={"priority": 3}),  # type: ignore[arg-type]
        ((job.row, job.spec) for job in make_jobs("x", rows)),
    )


def force_due(ledger: Ledger, moment: datetime) -> None:
    """Let a schedule's next run be in the past, as after a time in which nobody ticked."""
    ledger._server._redis.zadd(ledger._keys.schedules, {"nightly": milliseconds(moment)})


# -- windows of batches ------------------------------------------------------------------------------------------


def test_a_batch_outside_of_its_window_waits(ledger: Ledger) -> None:
    start_worker(ledger)
    ledger.submit(Batch(name="night", window=window(ledger, 3600, 7200)), make_jobs("night", 3))

    assert ledger.pump(LANE) == []
    assert ledger.batch("night").state is BatchState.SCHEDULED


def test_a_batch_inside_of_its_window_runs(ledger: Ledger) -> None:
    start_worker(ledger)
    ledger.submit(Batch(name="night", window=window(ledger, -3600, 3600)), make_jobs("night", 3))

    assert len(ledger.pump(LANE)) == 2
    assert ledger.batch("night").state is BatchState.ACTIVE


def test_a_window_opens_and_shuts_when_it_says_so(ledger: Ledger) -> None:
    start_worker(ledger)
    ticker = Ticker()
    ledger.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 3))
    assert ledger.batch("night").shut

    wait_for(lambda: ticker.round(ledger) or not ledger.batch("night").shut)
    ledger.pump(LANE)
    assert ledger.batch("night").counts[JobState.DISPATCHED] == 2
    ledger.set_window("night", window(ledger, -3600, 1))
    wait_for(lambda: ticker.round(ledger) or ledger.batch("night").shut)

    assert ledger.batch("night").counts[JobState.QUEUED] == 3  # what was dispatched is back in line
    assert (len(events(ledger, "batch.window_opened")), len(events(ledger, "batch.window_shut"))) == (1, 1)


def test_a_window_can_be_given_and_taken_from_a_batch_that_is_there(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    ledger.pump(LANE)

    ledger.set_window("night", window(ledger, 3600, 7200))
    assert ledger.batch("night").counts[JobState.QUEUED] == 3
    assert ledger.pump(LANE) == []

    ledger.set_window("night", "")
    assert ledger.batch("night").window == ""
    assert len(ledger.pump(LANE)) == 2


def test_a_message_of_a_batch_whose_window_has_shut_dies_at_claim(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 1)
    (item,) = ledger.pump(LANE)

    ledger.set_window("night", window(ledger, 3600, 7200))

    assert ledger.claim(item.job_id, item.generation, WORKER, lease_s=60) is Refused.HELD


def test_a_clip_that_would_end_outside_of_the_window_does_not_start(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    items = ledger.pump(LANE)
    ledger.set_window("night", window(ledger, -3600, 20))  # nothing is measured: 30 s are the guess
    items = ledger.pump(LANE) or items

    answer = ledger.claim(items[0].job_id, items[0].generation, WORKER, lease_s=60)

    job = ledger.job(items[0].job_id)
    assert answer is Refused.CLOSING
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert ledger.pump(LANE) == []  # until the window opens again: no message goes around in circles
    assert ledger.batch("night").shut


def test_a_measured_clip_that_ends_inside_starts(ledger: Ledger) -> None:
    start_worker(ledger)
    measured(ledger)
    submit(ledger, "night", 1)
    ledger.set_window("night", window(ledger, -3600, 20))

    (item,) = ledger.pump(LANE)

    assert isinstance(ledger.claim(item.job_id, item.generation, WORKER, lease_s=60), Claimed)


def test_a_window_is_turned_by_one_ticker_only(ledger: Ledger) -> None:
    ledger.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 1))
    due = wait_for(lambda: found if (found := ledger.due()).windows else None)

    turned = [ledger.turn_windows(due) for _ in range(2)]

    assert turned == [1, 0]


def test_a_window_that_was_changed_meanwhile_is_not_turned(ledger: Ledger) -> None:
    ledger.submit(Batch(name="night", window=window(ledger, 1, 3600)), make_jobs("night", 1))
    due = wait_for(lambda: found if (found := ledger.due()).windows else None)
    ledger.set_window("night", window(ledger, 3600, 7200))

    assert ledger.turn_windows(due) == 0
    assert ledger.batch("night").shut


def test_a_window_of_no_batch_and_no_window_are_refused(ledger: Ledger) -> None:
    submit(ledger, "night", 1)

    with pytest.raises(NotFound, match="dawn"):
        ledger.set_window("dawn", "22:00-07:00 UTC")
    with pytest.raises(InvalidJob, match="neither days nor hours"):
        ledger.set_window("night", "at night")


# -- windows of workers ------------------------------------------------------------------------------------------


def test_a_worker_outside_of_its_window_rests_and_counts_for_nothing(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)

    resting = Ticker(worker=WORKER, window=window(ledger, 3600, 7200)).round(ledger)

    assert resting
    assert ledger.workers()[0].state is WorkerState.RESTING
    assert ledger.pump(LANE) == []


def test_a_resting_worker_wakes_with_its_window(ledger: Ledger) -> None:
    start_worker(ledger)
    measured(ledger)
    ticker = Ticker(worker=WORKER, window=window(ledger, 2, 3600))
    assert ticker.round(ledger)

    wait_for(lambda: not ticker.round(ledger))

    assert ledger.workers()[0].state is WorkerState.READY


def test_a_worker_starts_no_clip_that_would_end_outside_of_its_window(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 3)
    items = ledger.pump(LANE)
    ledger._server.run("hours", WORKER, milliseconds(ledger.now() + timedelta(seconds=600)), "")  # 30 s are the guess

    answer = ledger.claim(items[0].job_id, items[0].generation, WORKER, lease_s=60)
    assert isinstance(answer, Claimed)
    ledger._server.run("hours", WORKER, milliseconds(ledger.now() + timedelta(seconds=20)), "")
    assert ledger.workers()[0].state is WorkerState.RESTING
    assert ledger.claim(items[1].job_id, items[1].generation, WORKER, lease_s=60) is Refused.UNFIT
    assert ledger.job(items[1].job_id).attempts == 0


def test_a_worker_that_is_started_anew_without_a_window_works_at_any_time(ledger: Ledger) -> None:
    start_worker(ledger)
    Ticker(worker=WORKER, window=window(ledger, 3600, 7200)).round(ledger)
    start_worker(ledger)  # the same name, after a crash
    submit(ledger, "night", 1)

    Ticker(worker=WORKER).round(ledger)

    begin(ledger)


# -- loads -------------------------------------------------------------------------------------------------------


def test_loads_say_what_is_left_and_who_is_there(ledger: Ledger) -> None:
    start_worker(ledger)
    submit(ledger, "night", 4, priority=7, weight=2, cap=3)
    first = milliseconds(ledger.now())
    wait_for(lambda: milliseconds(ledger.now()) > first, what="the next millisecond, for the order of the two")
    ids = submit(ledger, "day", 3)
    begin(ledger)
    ledger.prioritize_job(ids[0], 9)
    ledger.pause_job(ids[1])
    ledger.set_window("day", spec := window(ledger, -3600, 3600))
    Ticker(worker=WORKER, window=spec).round(ledger)

    loads = ledger.loads()

    night, day = loads.batches
    assert (night.batch, night.priority, night.weight, night.cap, night.left) == ("night", 7, 2, 3, {LANE: 4})
    assert (day.window, day.shut, day.held, day.left) == (spec, False, 1, {LANE: 2})
    assert [(hand.lane, hand.live, hand.window) for hand in loads.hands] == [(LANE, True, spec)]


# -- schedules ---------------------------------------------------------------------------------------------------


def test_a_schedule_submits_its_rows_when_it_is_due(ledger: Ledger) -> None:
    add(ledger)

    wait_for(lambda: Ticker().round(ledger) or ledger.batches())

    view = ledger.batches()[0]
    assert (view.total, view.priority) == (3, 3)
    assert view.name.startswith("nightly-20")
    assert ledger.schedule("nightly").last_batch.startswith("nightly-20")


def test_many_tickers_submit_each_run_once(ledger: Ledger, settings: Settings) -> None:
    add(ledger, rows=5)
    stop = threading.Event()

    def tick() -> None:
        with Ledger.connect(settings) as own:
            ticker = Ticker()
            while not stop.is_set():
                ticker.round(own)

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(ledger.batches()) >= 3)
    stop.set()
    for thread in threads:
        thread.join()

    fired, submitted = events(ledger, "schedule.fired"), events(ledger, "batch.submitted")
    assert len(fired) == len(set(fired)) >= 3
    assert sorted(fired) == sorted(submitted)  # each batch's five jobs were added by one submit
    assert {view.total for view in ledger.batches()} == {5}
    assert ledger.due().runs == []


def test_a_run_whose_ticker_died_in_the_middle_is_finished_by_another(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *", rows=1500)
    batch = ledger.run_schedule("nightly")
    dead = ledger.take_run(batch, "dead", hold_s=600)
    assert dead is not None
    ledger.submit(dead.batch, (dataclasses.replace(job, batch=batch) for job in make_jobs("x", 700)))
    ticker = Ticker()
    ticker.round(ledger)
    assert ledger.batch(batch).total == 700  # as long as the other may live
    ledger.take_run(batch, "dead", hold_s=0)

    wait_for(lambda: ticker.round(ledger) or ledger.batch(batch).total == 1500)

    assert not ledger.end_run(batch, "dead")
    assert ledger.due().runs == []


def test_a_large_run_is_submitted_in_rounds_so_that_a_worker_can_beat_between_them(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *", rows=6500)
    batch, ticker = ledger.run_schedule("nightly"), Ticker()

    ticker.round(ledger)
    first = ledger.batch(batch).total
    ticker.round(ledger)

    assert (first, ledger.batch(batch).total) == (5000, 6500)
    assert ledger.run_ended(batch)


def test_what_a_host_cannot_read_holds_up_nothing_else(ledger: Ledger) -> None:
    add(ledger)
    ledger.submit(Batch(name="night", window=window(ledger, 0, 3600)), make_jobs("night", 1))
    redis, prefix = ledger._server._redis, ledger._keys.prefix
    redis.hset(f"{prefix}batch:night", "window", "22:00-07:00 Mars/Olympus")  # a zone that only a newer tzdata has
    redis.zadd(f"{prefix}windows", {"night": 0})
    add_another = Schedule(name="mars", cron=Cron.parse("* * * * * *", "UTC"), policy={})
    ledger.add_schedule(add_another, ((job.row, job.spec) for job in make_jobs("x", 1)))
    redis.hset(ledger._keys.schedule("mars"), "zone", "Mars/Olympus")
    ticker = Ticker()

    wait_for(lambda: ticker.round(ledger) or len(ledger.batches()) > 1)

    assert ledger.batches()[0].name.startswith("nightly-")


def test_missed_runs_are_caught_up_with_once_or_not_at_all(ledger: Ledger) -> None:
    add(ledger, "0 * * * *", catch_up="once")
    force_due(ledger, ledger.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=9))
    ledger.add_schedule(
        Schedule(name="other", cron=Cron.parse("0 0 1 1 *", "UTC"), policy={}),
        ((job.row, job.spec) for job in make_jobs("x", 1)),
    )
    ledger._server._redis.zadd(ledger._keys.schedules, {"other": milliseconds(datetime(2026, 1, 1, tzinfo=UTC))})

    for _ in range(3):
        Ticker().round(ledger)

    assert [view.name for view in ledger.batches()] == [ledger.schedule("nightly").last_batch]
    assert [ledger.schedule("other").last_at, len(events(ledger, "schedule.missed"))] == [None, 1]


def test_a_paused_schedule_runs_no_more_and_leaves_out_what_it_missed(ledger: Ledger) -> None:
    add(ledger)
    ledger.pause_schedule("nightly")
    before = ledger.schedule("nightly")

    ledger.resume_schedule("nightly")

    after = ledger.schedule("nightly")
    assert (before.paused, before.next_at, after.paused) == (True, None, False)
    assert after.next_at is not None
    assert after.next_at > ledger.now().timestamp() - 1


def test_a_schedule_is_not_replaced_unawares(ledger: Ledger) -> None:
    add(ledger)

    with pytest.raises(JobConflict, match="--replace"):
        add(ledger)


def test_a_removed_schedule_leaves_nothing_behind_and_finishes_what_it_began(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *")
    batch = ledger.run_schedule("nightly")

    ledger.remove_schedule("nightly")
    Ticker().round(ledger)

    keys = {key.split("}:")[1].split(":")[0] for key in ledger._server._redis.keys(f"{ledger._keys.prefix}*")}
    assert ledger.batch(batch).total == 3
    assert not keys & {"rows", "run", "runs", "schedule", "schedules", "schedule_names"}
    with pytest.raises(NotFound):
        ledger.schedule("nightly")


def test_a_run_that_cannot_be_submitted_says_why(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *")
    batch = ledger.run_schedule("nightly")
    (other,) = make_jobs(batch, 1, start=10)
    ledger.submit(Batch(name=batch), [dataclasses.replace(other, row="r0")])

    Ticker().round(ledger)

    assert "is there with other content" in ledger.schedule("nightly").error
    assert ledger.due().runs == []
