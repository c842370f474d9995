"""What happened to a job, a batch or a worker: events of the ledger and logs of the attempts, in the order of time."""

from __future__ import annotations

import json
from datetime import UTC

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger, WorkerInfo
from reelmill_common.storage import open_store
from reelmill_common.storage.keys import log_key


def submit(ledger: Ledger, rows: int = 1) -> list[str]:
    jobs = [
        RenderJob(batch="night", row=f"r{row}", spec=RenderSpec(prompt="a shy fox", seed=row, profile="tiny"))
        for row in range(rows)
    ]
    ledger.batches.submit(Batch(name="night"), jobs)
    return [job.job_id for job in jobs]


def keep_log(hand: Hand, claimed: Claimed, event: str, **fields: str) -> None:
    """Store what a worker's log of the attempt would be, of now."""
    now = hand.ledger.timetable.now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    known = {"job_id": claimed.job_id, "batch": claimed.batch, "row": claimed.row, "attempt": claimed.attempt}
    line = {**known, "event": event, "level": "error", "timestamp": now, **fields}
    key = log_key(claimed.batch, claimed.row, attempt=claimed.attempt)
    content = json.dumps(line).encode() + b"\n"
    open_store(hand.settings).put(key, content, content_type="application/x-ndjson")


@pytest.fixture
def failed(ledger: Ledger, hand: Hand) -> str:
    """A job that failed once with a log, was queued again, and was then made."""
    (job_id,) = submit(ledger)
    first = hand.claim()
    keep_log(hand, first, "clip.failed", code="worker_bug", exception="Traceback:\nRuntimeError: \x1b[2Jlost")
    ledger.attempts.fail(first.job_id, first.token, "worker_bug", "lost", retryable=True)
    second = hand.ledger
    second.workers.register("other@test", "tiny", WorkerInfo())
    second.workers.ready("other@test", WorkerInfo())
    hand.name = "other@test"
    hand.finish(hand.claim())
    return job_id


def test_a_jobs_story_is_told_attempt_by_attempt(cli: Cli, failed: str) -> None:
    printed = cli("logs", failed, "--json").jsons

    assert [(line["name"], line["attempt"]) for line in printed] == [
        ("job.dispatched", 0),
        ("job.claimed", 1),
        ("clip.failed", 1),
        ("job.requeued", 1),
        ("job.dispatched", 0),
        ("job.claimed", 2),
        ("job.finished", 2),
    ]
    assert [line["source"] for line in printed].count("worker") == 1
    logged = next(line for line in printed if line["source"] == "worker")
    assert (logged["worker"], logged["level"], logged["fields"]["code"]) == ("hand@test", "error", "worker_bug")
    assert [line["at"] for line in printed] == sorted(line["at"] for line in printed)


def test_a_workers_story_ends_where_its_jobs_went_to_another(cli: Cli, failed: str) -> None:
    printed = cli("logs", "hand@test", "--json").jsons

    names = [line["name"] for line in printed if line["job_id"] == failed]
    assert names == ["job.claimed", "clip.failed", "job.requeued", "job.dispatched"]
    assert printed[0]["name"].startswith("worker.")


def test_a_story_is_told_without_its_logs_if_there_are_none(cli: Cli, ledger: Ledger, hand: Hand) -> None:
    (job_id,) = submit(ledger)
    hand.fail(hand.claim())

    printed = cli("logs", job_id, "--json").jsons

    assert [line["name"] for line in printed] == ["job.dispatched", "job.claimed", "job.failed"]


def test_what_somebody_else_put_beside_the_logs_is_left_alone(cli: Cli, hand: Hand, failed: str) -> None:
    store = open_store(hand.settings)
    store.put("logs/night/r0-notes.jsonl", b'\xff\xfe\n[1]\n{"timestamp": "noon"}\n', content_type="text/plain")

    ran = cli("logs", "night", "--json")

    assert ran.status == 0
    assert [line["name"] for line in ran.jsons if line["source"] == "worker"] == ["clip.failed"]
    assert "skipped, since they are not logs of a worker: logs/night/r0-notes.jsonl" in ran.err
