from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta

from common.ledger_steps import make_jobs, window
from common.schedule_steps import add
from fixtures.valkey import wait_for
from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.timestamps import milliseconds
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger
from reelmill_common.schedules import Schedule
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings


def events(ledger: Ledger, name: str) -> list[str]:
    return [event.batch for event in ledger.events.read(after="0", count=100_000) if event.name == name]


def force_due(ledger: Ledger, due: datetime) -> None:
    """Let a schedule's next run be in the past, as after a time without ticks."""
    ledger._server._redis.zadd(ledger._keys.schedules, {"nightly": milliseconds(due)})


def test_a_schedule_submits_its_rows_when_it_is_due(ledger: Ledger) -> None:
    add(ledger)

    wait_for(lambda: Ticker().round(ledger) or ledger.batches.all())

    view = ledger.batches.all()[0]
    assert (view.total, view.priority) == (3, 3)
    assert view.name.startswith("nightly-20")
    assert ledger.schedules.get("nightly").last_batch.startswith("nightly-20")


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
    wait_for(lambda: len(ledger.batches.all()) >= 3)
    stop.set()
    for thread in threads:
        thread.join()

    fired, submitted = events(ledger, "schedule.fired"), events(ledger, "batch.submitted")
    assert len(fired) == len(set(fired)) >= 3
    assert sorted(fired) == sorted(submitted)  # each batch's five jobs were added by one submit
    assert {view.total for view in ledger.batches.all()} == {5}
    assert ledger.timetable.due().runs == []


def test_a_run_whose_ticker_died_in_the_middle_is_finished_by_another(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *", rows=1500)
    batch = ledger.schedules.run("nightly")
    dead = ledger.schedules.take_run(batch, "dead", hold_s=600)
    assert dead is not None
    ledger.batches.submit(dead.batch, (dataclasses.replace(job, batch=batch) for job in make_jobs("x", 700)))
    ticker = Ticker()
    ticker.round(ledger)
    assert ledger.batches.get(batch).total == 700  # as long as the other may live
    ledger.schedules.take_run(batch, "dead", hold_s=0)

    wait_for(lambda: ticker.round(ledger) or ledger.batches.get(batch).total == 1500)

    assert not ledger.schedules.end_run(batch, "dead")
    assert ledger.timetable.due().runs == []


def test_a_large_run_is_submitted_in_rounds_so_that_a_worker_can_beat_between_them(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *", rows=6500)
    batch, ticker = ledger.schedules.run("nightly"), Ticker()

    ticker.round(ledger)
    first = ledger.batches.get(batch).total
    ticker.round(ledger)

    assert (first, ledger.batches.get(batch).total) == (5000, 6500)
    assert ledger.schedules.run_ended(batch)


def test_what_a_host_cannot_read_holds_up_nothing_else(ledger: Ledger) -> None:
    add(ledger)
    ledger.batches.submit(Batch(name="night", window=window(ledger, 0, 3600)), make_jobs("night", 1))
    redis, prefix = ledger._server._redis, ledger._keys.prefix
    redis.hset(f"{prefix}batch:night", "window", "22:00-07:00 Mars/Olympus")  # a zone that only a newer tzdata has
    redis.zadd(f"{prefix}windows", {"night": 0})
    add_another = Schedule(name="mars", cron=Cron.parse("* * * * * *", "UTC"), policy={})
    ledger.schedules.add(add_another, ((job.row, job.spec) for job in make_jobs("x", 1)))
    redis.hset(ledger._keys.schedule("mars"), "zone", "Mars/Olympus")
    ticker = Ticker()

    wait_for(lambda: ticker.round(ledger) or len(ledger.batches.all()) > 1)

    assert ledger.batches.all()[0].name.startswith("nightly-")


def test_missed_runs_are_caught_up_with_once_or_not_at_all(ledger: Ledger) -> None:
    add(ledger, "0 * * * *", catch_up="once")
    force_due(ledger, ledger.timetable.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=9))
    ledger.schedules.add(
        Schedule(name="other", cron=Cron.parse("0 0 1 1 *", "UTC"), policy={}),
        ((job.row, job.spec) for job in make_jobs("x", 1)),
    )
    ledger._server._redis.zadd(ledger._keys.schedules, {"other": milliseconds(datetime(2026, 1, 1, tzinfo=UTC))})

    for _ in range(3):
        Ticker().round(ledger)

    assert [view.name for view in ledger.batches.all()] == [ledger.schedules.get("nightly").last_batch]
    assert [ledger.schedules.get("other").last_at, len(events(ledger, "schedule.missed"))] == [None, 1]


def test_a_run_that_cannot_be_submitted_says_why(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *")
    batch = ledger.schedules.run("nightly")
    (other,) = make_jobs(batch, 1, start=10)
    ledger.batches.submit(Batch(name=batch), [dataclasses.replace(other, row="r0")])

    Ticker().round(ledger)

    assert "is there with other content" in ledger.schedules.get("nightly").error
    assert ledger.timetable.due().runs == []
