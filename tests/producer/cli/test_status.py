"""`watch`, `status`, `results`: what they print, and that they tell the truth."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fixtures.cli import Cli, on_a_terminal, started
from fixtures.hand import Hand
from reelmill_common.jobs import job_id
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.fixture
def night(cli: Cli, tmp_path: Path) -> str:
    """A batch of three clips that waits."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return cli("submit", tmp_path / "night.csv").out.strip()


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

    assert set(found) == {"batches", "workers"}
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
    assert "error: no batch 'absent'; `reelmill status` lists those that there are" in ran.err


def test_a_job_that_is_not_there_is_told(cli: Cli) -> None:
    ran = cli("status", job_id("night", "absent"))

    assert ran.status == 66
    assert "no job" in ran.err


def test_results_are_paths_that_one_can_open(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()
    hand.finish(claimed)

    ran = cli("results", night)

    (path,) = ran.out.splitlines()
    assert Path(path).read_bytes() == b"MP4 of " + claimed.row.encode()


def test_results_as_json_name_key_link_and_hash(cli: Cli, night: str, hand: Hand) -> None:
    result = hand.finish(hand.claim())

    (found,) = cli("results", night, "--json").jsons

    assert found["key"] == result.key
    assert found["sha256"] == result.sha256
    assert found["url"].startswith("file:///")


def test_results_of_a_batch_without_clips_are_empty(cli: Cli, night: str) -> None:
    ran = cli("results", night)

    assert (ran.status, ran.out) == (0, "")


def test_watch_shows_each_clip_as_it_ends_and_ends_with_the_batch(night: str, hand: Hand, settings: Settings) -> None:
    with started("watch", night, env=settings.to_env()) as watch:
        watch.wait_for_line("night: 0/3 done")
        hand.finish(hand.claim())
        watch.wait_for_line("fox succeeded: night/fox-")
        hand.fail(hand.claim())
        watch.wait_for_line("owl failed: all frames are black")
        hand.finish(hand.claim())
        status = watch.wait()

    assert "hare succeeded: night/hare-" in watch.err
    assert "night: 3/3 done" in watch.err
    assert (status, watch.out) == (69, "")


def test_on_a_terminal_the_batch_and_each_running_clip_have_a_bar(
    night: str, hand: Hand, settings: Settings, ledger: Ledger
) -> None:
    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)

    with on_a_terminal("watch", night, env=settings.to_env()) as wait_for_text:
        wait_for_text("0/3")
        wait_for_text("fox denoise 2/3")
        ledger.attempts.stage(claimed.job_id, claimed.token, "decode", lease_s=60)
        wait_for_text("fox decode")
        hand.finish(claimed)
        wait_for_text("fox succeeded")
        wait_for_text("1/3")
        ledger.batches.cancel(night)
        wait_for_text("3/3")


def test_watch_of_a_done_batch_tells_what_was_and_ends(cli: Cli, night: str, hand: Hand) -> None:
    for _ in range(3):
        hand.finish(hand.claim())

    events = [event["event"] for event in cli("watch", night, "--json").jsons]

    assert events.count("job.finished") == 3
    assert events[0] == "batch.submitted"
    assert events[-1] == "batch.finished"


def test_watch_goes_on_after_a_batch_was_done_and_grew(cli: Cli, night: str, hand: Hand, tmp_path: Path) -> None:
    for _ in range(3):
        hand.finish(hand.claim())
    (tmp_path / "more.csv").write_text("id,prompt\ncrow,a crow\n")
    cli("submit", tmp_path / "more.csv", "--batch", night)
    worker = threading.Thread(target=lambda: hand.finish(hand.claim()))
    worker.start()

    ran = cli("watch", night)

    worker.join()
    assert ran.status == 0
    assert "night: 4/4 done" in ran.err


def test_a_batch_with_a_failed_clip_ends_the_watch_with_69(cli: Cli, night: str, hand: Hand) -> None:
    for _ in range(2):
        hand.finish(hand.claim())
    hand.fail(hand.claim())

    ran = cli("watch", night)

    assert ran.status == 69
    assert "1 of 3 clips failed; `reelmill status night` says why" in ran.err


def test_a_watch_says_when_nobody_is_there_to_render(night: str, settings: Settings, ledger: Ledger) -> None:
    with started("watch", night, env=settings.to_env()) as watch:
        told = watch.wait_for_line("no worker is ready")
        ledger.batches.cancel(night)
        status = watch.wait()

    assert "no worker is ready for lane tiny; start one with `reelmill worker --profile tiny`" in told
    assert status == 69
    assert "3 of 3 clips were cancelled" in watch.err


def test_another_try_is_not_advised_for_what_can_only_fail_again(
    cli: Cli, night: str, hand: Hand, ledger: Ledger
) -> None:
    hand.fail(hand.claim(), "prompt_too_long", "700 tokens")
    hand.fail(hand.claim(), "invalid_job", "frames=82")
    hand.fail(hand.claim(), "bad_output", "black")
    mixed = cli("watch", night).err
    ledger.batches.retry(night, code="bad_output")
    hand.fail(hand.claim(), "poison", "killed its worker twice")

    hopeless = cli("watch", night)

    assert "2 of them can only fail again" in mixed
    assert f"`reelmill retry {night} --code bad_output` tries the others again" in mixed
    assert (hopeless.status, "reelmill retry" in hopeless.err) == (69, False)
    assert "submit them anew, changed" in hopeless.err
