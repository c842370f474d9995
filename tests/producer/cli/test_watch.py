"""`watch`: each clip as it ends, on a terminal, in a pipe and as JSON, and the status at the end."""

from __future__ import annotations

import threading
from pathlib import Path

from fixtures.cli import Cli, on_a_terminal, started
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


def test_watch_shows_each_clip_as_it_ends_and_ends_with_the_batch(night: str, hand: Hand, settings: Settings) -> None:
    with started("watch", night, env=settings.to_env()) as watch:
        watch.wait_for_line("night: 0/3 done")
        hand.finish(hand.claim())
        watch.wait_for_line("fox seed 1024 succeeded: night/fox-")
        hand.fail(hand.claim())
        watch.wait_for_line("owl seed 1024 failed: all frames are black")
        hand.finish(hand.claim())
        status = watch.wait()

    assert "hare seed 1024 succeeded: night/hare-" in watch.err
    assert "night: 3/3 done" in watch.err
    assert (status, watch.out) == (69, "")


def test_on_a_terminal_the_batch_and_each_running_clip_have_a_bar(
    night: str, hand: Hand, settings: Settings, ledger: Ledger
) -> None:
    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)

    with on_a_terminal("watch", night, env=settings.to_env()) as wait_for_text:
        wait_for_text("0/3")
        wait_for_text("fox seed 1024 denoise 2/3")
        ledger.attempts.stage(claimed.job_id, claimed.token, "decode", lease_s=60)
        wait_for_text("fox seed 1024 decode")
        hand.finish(claimed)
        wait_for_text("fox seed 1024 succeeded")
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
        printed = watch.wait_for_line("no worker is ready")
        ledger.batches.cancel(night)
        status = watch.wait()

    assert "no worker is ready for lane tiny; start one with `reelmill worker --profile tiny`" in printed
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
    assert "change them and submit them again" in hopeless.err
