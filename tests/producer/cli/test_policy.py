"""`policy`, and the policy that `submit` gives: shares and limits, changed while the farm runs."""

from __future__ import annotations

import time
from pathlib import Path

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Ledger


def prompts(folder: Path, name: str, count: int = 3) -> Path:
    path = folder / f"{name}.txt"
    path.write_text("".join(f"clip {number} of {name}\n" for number in range(count)))
    return path


def test_submit_gives_a_new_batch_its_policy(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    cli("submit", prompts(tmp_path, "first"))
    options = ["--owner", "studio", "--weight", 3, "--max-in-flight", 2, "--max-failures", "5%", "--expires", "8h"]

    ran = cli("submit", prompts(tmp_path, "night"), *map(str, options), "--after", "first", "--json")

    assert ran.status == 0
    view = ledger.batches.get("night")
    assert (view.owner, view.weight, view.max_in_flight, view.max_failures) == ("studio", 3, 2, "5%")
    assert abs(view.expires_at - time.time() - 8 * 3600) < 120
    assert ran.json["state"] == "scheduled"
    assert ran.json["waits_for"] == [{"kind": "after", "batch": "first", "until": 0.0, "stuck": False}]


def test_submitting_again_changes_what_is_given_and_nothing_else(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    night = prompts(tmp_path, "night")
    cli("submit", night, "--weight", "3", "--max-failures", "7")

    assert cli("submit", night, "--weight", "5").status == 0

    assert (ledger.batches.get("night").weight, ledger.batches.get("night").max_failures) == (5, "7")


def test_submitting_again_for_another_owner_is_refused(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    cli("submit", prompts(tmp_path, "night"), "--owner", "ann")

    ran = cli("submit", prompts(tmp_path, "night", 9), "--owner", "bob")

    assert ran.status == 65
    assert "has owner 'ann', not 'bob', which cannot be changed; submit under another batch name" in ran.err
    assert ledger.batches.get("night").total == 3


def test_a_submit_that_should_wait_for_nothing_known_adds_nothing(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    cli("submit", prompts(tmp_path, "there"))

    new = cli("submit", prompts(tmp_path, "night"), "--after", "nihgt")
    meant = cli("submit", prompts(tmp_path, "night"), "--after", "theer")
    more = cli("submit", prompts(tmp_path, "there", 9), "--after-any", "theer")

    assert (new.status, more.status) == (66, 66)
    assert "should wait for 'nihgt', which is not there; submit 'nihgt' first" in new.err
    assert "did you mean 'there'? submit 'theer' first" in meant.err
    assert "should wait for 'theer', which is not there; submit 'theer' first" in more.err  # no batch waits for itself
    assert [(view.name, view.total) for view in ledger.batches.all()] == [("there", 3)]


def test_policy_shows_and_changes_a_batch(cli: Cli, tmp_path: Path) -> None:
    cli("submit", prompts(tmp_path, "night"))

    ran = cli("policy", "night", "--weight", "4", "--priority", "8", "--start-after", "2200-01-01T00:00+00:00")

    assert ran.status == 0
    assert "priority: 8\nweight: 4\n" in ran.out
    assert cli("policy", "night").out == ran.out
    assert "start after: 2200-01-01 " in ran.out
    assert "night: scheduled (3 queued); starts after 2200-01-01" in cli("status", "night").out


def test_policy_takes_away_what_is_called_none(cli: Cli, tmp_path: Path, ledger: Ledger) -> None:
    cli("submit", prompts(tmp_path, "first"))
    cli("submit", prompts(tmp_path, "night"), "--start-after", "9h", "--max-failures", "3", "--after", "first")

    cli("policy", "night", "--start-after", "none", "--max-failures", "none", "--after", "none")

    view = ledger.batches.get("night")
    assert (view.state, view.start_after, view.max_failures, view.after) == (BatchState.ACTIVE, 0.0, "", ())


def test_a_circle_of_batches_is_refused(cli: Cli, tmp_path: Path) -> None:
    cli("submit", prompts(tmp_path, "amber"))
    cli("submit", prompts(tmp_path, "birch"), "--after", "amber")

    ran = cli("policy", "amber", "--after", "birch")

    assert ran.status == 65
    assert "which waits for 'amber' itself; neither would start" in ran.err


def test_status_says_why_a_batch_paused_itself(cli: Cli, tmp_path: Path, hand: Hand, ledger: Ledger) -> None:
    cli("submit", prompts(tmp_path, "night"), "--max-failures", "1")
    claimed = hand.claim()
    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)

    ran = cli("status", "night")

    assert "night: paused (2 queued, 1 failed); paused itself: 1 failed, and max_failures is 1" in ran.out
    assert ledger.batches.get("night").counts[JobState.FAILED] == 1
