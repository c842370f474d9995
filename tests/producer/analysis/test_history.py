"""What happened to a job, a batch or a worker: events of the ledger and logs of the attempts, in the order of time."""

from __future__ import annotations

from fixtures.cli import Cli
from fixtures.hand import Hand
from producer.log_steps import submit
from reelmill_common.ledger import Ledger
from reelmill_common.storage import open_store


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
