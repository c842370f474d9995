from __future__ import annotations

import threading
import time

import pytest
import redis

from common.ledger_scene import LANE, begin, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.errors import NotFound
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, queries


def test_an_unknown_job_is_named(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no job no-such-job"):
        ledger.jobs.get("no-such-job")


def test_batches_are_listed_newest_first(ledger: Ledger, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for name in ("birch", "amber", "cedar"):
            submit(ledger, name, 1)
            made = ledger.batches.get(name).created_at
            wait_for(lambda made=made: client.time()[0] + client.time()[1] / 1e6 > made + 0.002)

    assert [batch.name for batch in ledger.batches.all()] == ["cedar", "amber", "birch"]


def test_jobs_are_read_in_pages(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "CHUNK", 4)
    ids = submit(ledger, "night", 23)

    assert [view.job_id for view in ledger.jobs.page("night", start=5, count=10)] == ids[5:15]
    assert [view.job_id for view in ledger.jobs.page("night", start=20, count=10)] == ids[20:]
    assert ledger.jobs.page("night", start=23) == []
    assert ledger.jobs.page("night", count=0) == []


@pytest.mark.parametrize(
    ("states", "rows"),
    [
        pytest.param([JobState.SUCCEEDED], [0], id="succeeded: the whole batch is looked at"),
        pytest.param([JobState.FAILED], [1], id="failed: from the index"),
        pytest.param([JobState.CANCELLED, JobState.FAILED], [1, 5], id="to be retried: from the index"),
        pytest.param([JobState.RUNNING], [2], id="running: from the index"),
        pytest.param([JobState.RUNNING, JobState.DISPATCHED], [2, 3], id="in flight: from the index"),
        pytest.param([JobState.QUEUED, JobState.FAILED], [1, 4, 6, 7, 8, 9], id="a mixture"),
        pytest.param([JobState.CANCEL_REQUESTED], [], id="none there"),
    ],
)
def test_jobs_are_read_by_state_in_the_order_of_submission(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, states: list[JobState], rows: list[int]
) -> None:
    monkeypatch.setattr(queries, "CHUNK", 4)
    ids = submit(ledger, "night", 10)
    start_worker(ledger)
    done, failed, _ = begin(ledger), begin(ledger), begin(ledger)
    ledger.attempts.finish(done.job_id, done.token, make_result())
    ledger.attempts.fail(failed.job_id, failed.token, "bad_output", "black", retryable=False)
    ledger.dispatch.pump(LANE, depth=1)
    ledger.jobs.cancel(ids[5])

    found = ledger.jobs.page("night", states=states)

    assert [view.row for view in found] == [f"r{row}" for row in rows]
    assert ledger.jobs.page("night", states=states, start=1, count=2) == found[1:3]


def test_events_report_the_life_of_a_job(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    claimed = begin(ledger)
    ledger.attempts.stage(job_id, claimed.token, "decode", lease_s=60)
    ledger.attempts.stage(job_id, claimed.token, "decode", lease_s=60)
    ledger.attempts.finish(job_id, claimed.token, make_result("night/r0.mp4"))

    events = [
        (event.name, event.batch, event.job_id, event.worker, dict(event.fields))
        for event in ledger.events.read(after="0")
    ]

    assert events == [
        ("batch.submitted", "night", "", "", {"count": "1"}),
        ("worker.registered", "", "", "gpu0@test", {"lane": "tiny"}),
        ("worker.ready", "", "", "gpu0@test", {}),
        ("job.dispatched", "night", job_id, "", {"priority": "5"}),
        ("job.claimed", "night", job_id, "gpu0@test", {"attempt": "1"}),
        ("job.staged", "night", job_id, "gpu0@test", {"stage": "decode"}),
        ("job.finished", "night", job_id, "gpu0@test", {"key": "night/r0.mp4"}),
        ("batch.finished", "night", "", "", {}),
    ]


def test_events_go_on_after_an_id(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    (first,) = ledger.events.read(after="0")
    ledger.batches.pause("night")
    ledger.batches.resume("night")

    assert [event.name for event in ledger.events.read(after=first.event_id)] == ["batch.paused", "batch.resumed"]
    assert [event.name for event in ledger.events.read(after=first.event_id, count=1)] == ["batch.paused"]
    assert ledger.events.read(after="$") == []


def test_waiting_for_events_ends_with_the_first_one(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    pause = threading.Timer(0.2, ledger.batches.pause, ["night"])
    pause.start()

    found = ledger.events.read(block_s=60)

    pause.join()
    assert [event.name for event in found] == ["batch.paused"]


def test_waiting_for_events_ends_when_the_time_is_over(ledger: Ledger) -> None:
    started = time.monotonic()

    assert ledger.events.read(block_s=0.3) == []
    assert 0.3 <= time.monotonic() - started < 60


def test_following_a_batch_yields_its_events_only(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    submit(ledger, "day", 1)
    ledger.batches.pause("day")
    ledger.batches.pause("night")
    follow = ledger.events.follow("night", after="0")

    assert [next(follow).name, next(follow).name] == ["batch.submitted", "batch.paused"]

    resume = threading.Timer(0.2, ledger.batches.resume, ["night"])
    resume.start()
    assert next(follow).name == "batch.resumed"
    resume.join()
