"""`resume`: paused batches and held jobs go on."""

from __future__ import annotations

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Ledger


def test_a_pause_holds_and_a_resume_goes_on(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    assert cli("pause", night).out == "paused\n"
    assert ledger.batches.get(night).state is BatchState.PAUSED
    assert ledger.dispatch.pump("tiny") == []

    assert cli("resume", night).out == "resumed\n"

    assert ledger.batches.get(night).state is BatchState.ACTIVE
    assert ledger.batches.get(night).counts[JobState.DISPATCHED] == 2


def test_one_job_is_held_and_resumed(cli: Cli, night: str, ledger: Ledger) -> None:
    job = ledger.jobs.page(night)[1]

    assert cli("pause", job.job_id).out == "held\n"
    assert "1 jobs of night are held singly" in cli("resume", night).err
    assert cli("resume", night, "--held", "--json").json["counts"]["held"] == 0
