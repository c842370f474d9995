"""A batch keeps its deadline, and the commands that look at it say whether it will be met."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger, PolicyChange, Result
from reelmill_producer.analysis.deadlines import in_time, span_text

RESULT = Result(key="k.mp4", sha256="ab" * 32, size_bytes=1, latents_sha256="cd" * 32, seconds={"denoise": 600.0})


@pytest.fixture
def night(cli: Cli, hand: Hand, ledger: Ledger, tmp_path: Path) -> Path:
    """Four prompts; a clip takes ten minutes, and there is one worker."""
    (tmp_path / "before.txt").write_text("a hare\n")
    cli("submit", tmp_path / "before.txt")
    claimed = hand.claim()
    assert ledger.attempts.finish(claimed.job_id, claimed.token, replace(RESULT, gpu_s=600.0))
    file = tmp_path / "night.txt"
    file.write_text("a\nb\nc\nd\n")
    return file


def test_the_ledger_keeps_a_deadline_which_can_be_changed_and_taken_away(cli: Cli, night: Path, ledger: Ledger) -> None:
    added = cli("submit", night, "--finish-by", "8h", "--json")
    kept = ledger.batches.get("night").finish_by
    cli("submit", night)
    again = ledger.batches.get("night").finish_by
    cli("policy", "night", "--finish-by", "none")

    assert added.json["finish_by"] == kept == again
    assert abs(kept - time.time() - 8 * 3600) < 120
    assert ledger.batches.get("night").finish_by == 0.0


def test_a_deadline_before_the_start_is_refused(cli: Cli, night: Path, ledger: Ledger) -> None:
    ran = cli("submit", night, "--start-after", "3h", "--finish-by", "2h")

    assert ran.status == 65
    assert "is not after start_after" in ran.err
    assert not ledger.batches.exists("night")


@pytest.mark.parametrize(
    ("deadline", "met", "text"),
    [
        pytest.param("2h", True, "it will meet its deadline, ", id="in time"),
        pytest.param("10m", False, "by 30 min", id="late"),
    ],
)
def test_all_say_whether_a_deadline_will_be_met(cli: Cli, night: Path, deadline: str, met: bool, text: str) -> None:
    asked = cli("submit", night, "--finish-by", deadline, "--dry-run", "--json")
    added = cli("submit", night, "--finish-by", deadline)
    why, reason = cli("why", "night"), cli("why", "night", "--json").json
    status = cli("status", "night")

    assert asked.json["in_time"] is reason["in_time"] is cli("status", "night", "--json").json["in_time"] is met
    assert f"{'in time for' if met else 'after'} its deadline" in asked.err
    assert all(text in said for said in (added.err, why.out, status.out))
    assert reason["finish_at"] == pytest.approx(time.time() + 2400, abs=60)


def test_a_deadline_that_cannot_be_judged_says_why(cli: Cli, night: Path, ledger: Ledger) -> None:
    cli("submit", night, "--finish-by", "2h")
    cli("pause", "night")

    ran = cli("why", "night")

    assert "whether it meets its deadline, " in ran.out
    assert "is not known: it is paused" in ran.out
    assert json.loads(cli("why", "night", "--json").out)["in_time"] is None


def test_what_has_ended_met_its_deadline_or_missed_it(cli: Cli, night: Path, hand: Hand, ledger: Ledger) -> None:
    cli("submit", night, "--finish-by", "2h")
    for _ in range(4):
        claimed = hand.claim()
        assert ledger.attempts.finish(claimed.job_id, claimed.token, RESULT)
    in_time_text = cli("why", "night").out
    ledger.batches.set_policy(ledger.batches.get("night"), PolicyChange(finish_by=time.time() - 3600))

    assert "it met its deadline, " in in_time_text
    assert "by 1 h 00 min" in cli("why", "night").out


def test_an_end_is_in_time_up_to_the_deadline() -> None:
    assert (in_time(10.0, 10.0), in_time(10.0, 10.1), in_time(0.0, 5.0), in_time(10.0, None)) == (
        *(True, False),
        *(None, None),
    )
    assert (span_text(1), span_text(3599), span_text(7500)) == ("1 min", "1 h 00 min", "2 h 05 min")
