"""Events: reading the stream, waiting for it and following a batch."""

from __future__ import annotations

import threading
import time

import pytest

from common.ledger_steps import begin, make_result, start_worker, submit
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.events import place


def test_events_report_the_life_of_a_job(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    ledger.events.read(stages=True)  # a reader asks for stages: they are sent
    claimed = begin(ledger)
    ledger.attempts.stage(job_id, claimed.token, "decode", lease_s=60)
    ledger.attempts.stage(job_id, claimed.token, "decode", lease_s=60)
    ledger.attempts.finish(job_id, claimed.token, make_result("night/r0.mp4"))

    events = [
        (event.name, event.batch, event.job_id, event.worker, dict(event.fields))
        for event in ledger.events.read(after="0", stages=True)
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


def test_stages_are_for_those_who_watch_only(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)
    claimed = begin(ledger)
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 1/3", lease_s=60)

    feed = ledger.events.of_batch("night", after="0")
    before = [event.name for event in feed.read()]
    ledger.attempts.stage(claimed.job_id, claimed.token, "decode", lease_s=60)
    ledger.batches.pause("night")

    assert before == ["batch.submitted", "job.dispatched", "job.claimed"]
    assert [(event.name, event.fields.get("stage")) for event in feed.read()] == [
        ("job.staged", "decode"),
        ("batch.paused", None),
    ]
    assert "job.staged" not in [event.name for event in ledger.events.read(after="0")]


def test_an_event_has_one_id_in_the_streams_of_farm_batch_and_stages(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)
    feed = ledger.events.of_batch("night", after="0")
    feed.read()
    ledger.events.read(stages=True)
    claimed = begin(ledger)
    for stage in ("denoise 1/3", "denoise 2/3", "decode"):
        ledger.attempts.stage(claimed.job_id, claimed.token, stage, lease_s=60)
        ledger.batches.pause("night")
        ledger.batches.resume("night")

    of_batch = feed.read()

    of_farm = [event for event in ledger.events.read(after="0", stages=True) if event.batch == "night"]
    assert of_farm[1:] == of_batch
    assert [event.name for event in of_batch].count("job.staged") == 3
    places = [place(event.event_id) for event in of_farm]
    assert places == sorted(set(places))


def test_a_watcher_that_comes_back_late_misses_nothing_but_stages(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(ledger, "night", 1)
    feed = ledger.events.of_batch("night")
    feed.read()
    ledger.batches.pause("night")
    ledger._server._redis.delete(f"{ledger._keys.prefix}watched:night")  # as after a minute without it
    ledger.batches.resume("night")

    monkeypatch.setattr("reelmill_common.ledger.events.ASK_S", 0.0)

    assert [event.name for event in feed.read()] == ["batch.paused", "batch.resumed"]
    assert feed.read() == []
