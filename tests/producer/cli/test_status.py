"""`status`: batches, workers and jobs, and what is not there."""

from __future__ import annotations

import re

import pytest
import redis

from common.ledger_steps import finish_one, start_worker, submit, with_url
from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import job_id
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer


def test_an_empty_farm_says_so(cli: Cli) -> None:
    ran = cli("status")

    assert ran.status == 0
    assert ran.out == "no batches\n\nno workers\n"


def test_status_lists_batches_and_workers(cli: Cli, night: str, hand: Hand) -> None:
    hand.finish(hand.claim())
    hand.fail(hand.claim())
    hand.claim()

    ran = cli("status")

    head, row = (line.split() for line in ran.out.splitlines()[:2])
    assert head == ["BATCH", "STATE", "CLIPS", "FAILED", "CANCELLED", "REMAINING", "PRIORITY"]
    assert row == ["night", "active", "1/3", "1", "1", "5"]  # nothing was cancelled
    assert "hand@test  ready  tiny  1" in ran.out


def test_status_as_json_has_stable_keys(cli: Cli, night: str, hand: Hand) -> None:
    found = cli("status", "--json").json

    assert set(found) == {"batches", "workers", "redis"}
    assert set(found["redis"]) == {"used_bytes", "limit_bytes", "full_in_s"}
    assert found["batches"][0]["counts"]["queued"] == 3
    assert set(found["workers"][0]) == {"worker", "lane", "state", "reason", "jobs", "seen_s", "info"}


def test_status_of_a_batch_shows_what_runs_and_what_failed(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    failed, running = hand.claim(), hand.claim()
    hand.fail(failed)
    ledger.attempts.stage(running.job_id, running.token, "denoise 2/3", lease_s=60)

    ran = cli("status", night)
    as_json = cli("status", night, "--json").json

    assert "batch night: active (1 dispatched, 1 running, 1 failed)" in ran.out
    assert f"{running.row}: running denoise 2/3 on hand@test" in ran.out
    assert f"{failed.row}: failed, bad_output: all frames are black" in ran.out
    assert as_json["in_hand"][0]["stage"] == "denoise 2/3"


def test_status_lists_every_job_of_a_batch_if_it_is_asked_to(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    running = hand.claim()

    ran = cli("status", night, "--jobs")
    listed = cli("status", night, "--jobs", "--json").json["jobs"]
    wrong = cli("status", "--jobs")

    names = [f"{job.batch}/{job.row}" for job in ledger.jobs.page(night)]
    assert [line.split(":")[0].strip() for line in ran.out.splitlines()[1:]] == names
    assert f"{running.batch}/{running.row}: running" in ran.out
    assert [job["row"] for job in listed] == [job.row for job in ledger.jobs.page(night)]
    assert wrong.status == 2


def test_status_of_a_job_shows_its_clip(cli: Cli, night: str, hand: Hand, settings: Settings) -> None:
    claimed = hand.claim()
    result = hand.finish(claimed)

    ran = cli("status", claimed.job_id)
    as_json = cli("status", claimed.job_id, "--json").json

    assert f"job {claimed.job_id} (night/{claimed.row}): succeeded" in ran.out
    assert f"{settings.store_url.removeprefix('file://')}/{result.key}" in ran.out
    assert as_json["clip"]["key"] == result.key
    assert as_json["spec"]["prompt"] == claimed.spec.prompt


@pytest.mark.parametrize("verb", ["status", "watch", "results", "cancel", "pause", "resume", "retry"])
def test_a_batch_that_is_not_there_is_told(cli: Cli, verb: str) -> None:
    ran = cli(verb, "absent")

    assert (ran.status, ran.out) == (66, "")
    assert "error: no batch 'absent'; `reelmill status` lists the batches" in ran.err


def test_a_job_that_is_not_there_is_told(cli: Cli) -> None:
    ran = cli("status", job_id("night", "absent"))

    assert ran.status == 66
    assert "no job" in ran.err


def test_status_says_when_redis_is_full(cli: Cli, settings: Settings, own_valkey: ValkeyServer) -> None:
    ours = {**settings.to_env(), "REELMILL_REDIS_URL": own_valkey.url}
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.config_set("maxmemory", "4gb")
    before = cli("status", env=ours)
    with Ledger.connect(with_url(settings, own_valkey.url)) as ledger:
        start_worker(ledger)
        submit(ledger, "night", 2)
        finish_one(ledger)

    after = cli("status", env=ours)

    assert before.out.splitlines()[-1] == "Redis uses 0.00 of 4.29 GB"
    assert re.search(r"of 4\.29 GB: full in [0-9.,]+ days at [0-9,]+ clips an hour, if nothing is", after.out)
