"""`reelmill logs`: the events of the ledger and the lines of the attempts' logs, in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from fixtures.cli import Cli
from fixtures.hand import Hand
from producer.log_steps import submit
from reelmill_common.ledger import Ledger


def forget_all(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()


def test_people_read_one_line_for_each_thing_and_the_traceback_below(cli: Cli, failed: str) -> None:
    ran = cli("logs", "night")

    lines = ran.out.splitlines()
    claimed = next(line for line in lines if "job.claimed" in line)
    assert claimed.split("  ", 1)[1].startswith("night/r0 #1  job.claimed by hand@test")
    at = next(index for index, line in enumerate(lines) if "[error] clip.failed code=worker_bug" in line)
    assert lines[at + 1 : at + 3] == ["    Traceback:", r"    RuntimeError: \x1b[2Jlost"]
    assert "shy fox" not in ran.out
    assert any("batch.finished" in line for line in lines)


def test_a_story_is_told_although_the_store_does_not_answer(cli: Cli, failed: str) -> None:
    env = {"REELMILL_STORE_URL": "s3://clips", "REELMILL_S3_ENDPOINT": "http://127.0.0.1:1"}
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "REELMILL_S3_CHECKSUM": "when_required"}

    ran = cli("logs", failed, "--json", env=env | keys)

    assert ran.status == 0
    assert len(ran.jsons) == 6
    assert "cannot be read" in ran.err


def test_a_pruned_batchs_logs_are_found_in_the_store(cli: Cli, failed: str, ledger: Ledger) -> None:
    cli("prune", "--older", "0s")
    assert ledger.batches.all() == []

    ran = cli("logs", "night", "--json")
    of_job = cli("logs", failed)

    assert ran.status == 0
    (logged,) = [line for line in ran.jsons if line["source"] == "worker"]
    assert (logged["name"], logged["row"], logged["attempt"], logged["worker"]) == ("clip.failed", "r0", 1, "hand@test")
    assert "batch night is not in the ledger any more" in ran.err
    assert (of_job.status, "`reelmill logs BATCH` shows what is left" in of_job.err) == (66, True)


def test_logs_outlive_the_ledger_itself(cli: Cli, failed: str, redis_url: str) -> None:
    forget_all(redis_url)

    ran = cli("logs", "night", "--json")

    assert [(line["source"], line["name"], line["row"]) for line in ran.jsons] == [("worker", "clip.failed", "r0")]


def test_a_pruned_batch_without_logs_is_told_apart_from_one_that_never_was(
    cli: Cli, ledger: Ledger, hand: Hand, redis_url: str
) -> None:
    submit(ledger)
    hand.finish(hand.claim())
    cli("prune", "--older", "0s")
    forget_all(redis_url)

    pruned, never = cli("logs", "night"), cli("logs", "nihgt")

    assert (pruned.status, never.status) == (66, 66)
    assert "batch 'night' is pruned, and the store has no logs of it (logs/night/)" in pruned.err
    assert "`reelmill export night`" in pruned.err
    assert "no batch 'nihgt' in the ledger, and neither logs (logs/nihgt/) nor an archive of one" in never.err


@pytest.mark.parametrize("target", ["nowhere", "gpu9@nowhere", "00000000-0000-5000-8000-000000000000"])
def test_what_there_is_not_has_no_story(cli: Cli, target: str) -> None:
    ran = cli("logs", target)

    assert (ran.status, ran.out) == (66, "")


def test_times_are_those_of_utc(cli: Cli, failed: str, ledger: Ledger) -> None:
    first = cli("logs", failed).out.splitlines()[0]

    read = datetime.strptime(first[:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert abs(read - ledger.timetable.now()) < timedelta(minutes=5)
