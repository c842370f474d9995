"""`pause`: a batch or a single job waits; what runs cannot be held."""

from __future__ import annotations

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger


def test_a_job_goes_by_its_batch_and_row(cli: Cli, night: str, ledger: Ledger) -> None:
    job = ledger.jobs.page(night)[1]
    name = f"{night}/{job.row}"

    said = [cli(verb, name).out for verb in ("pause", "resume", "cancel", "retry")]
    urgent, why = cli("prioritize", name, "9"), cli("why", name)

    assert said == ["held\n", "queued\n", "cancelled\n", "1\n"]
    assert (urgent.status, ledger.jobs.get(job.job_id).priority) == (0, 9)
    assert f"job {name}" in why.out
    assert cli("logs", name).status == 0


@pytest.mark.parametrize("verb", ["status", "cancel", "pause", "why", "logs"])
def test_a_row_that_is_not_there_is_told_with_what_lists_them(cli: Cli, night: str, verb: str) -> None:
    ran = cli(verb, f"{night}/nothing")

    assert ran.status == 66
    assert "batch 'night' has no row 'nothing'; `reelmill status night --jobs` lists its rows" in ran.err


def test_a_running_job_is_not_said_to_be_held(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()

    ran = cli("pause", claimed.job_id)

    assert (ran.status, ran.out) == (75, "running\n")
    assert "cannot be held" in ran.err
