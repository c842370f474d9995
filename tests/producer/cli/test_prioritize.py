"""`prioritize`: the urgency of a batch or of one job."""

from __future__ import annotations

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger


def test_prioritize_changes_the_batch(cli: Cli, night: str, ledger: Ledger) -> None:
    ran = cli("prioritize", night, "9", "--json")

    assert ran.json["priority"] == 9
    assert ledger.batches.get(night).priority == 9


def test_a_priority_out_of_range_is_a_usage_error(cli: Cli, night: str) -> None:
    assert cli("prioritize", night, "10").status == 2


def test_one_job_is_made_more_urgent_than_its_batch(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    last = ledger.jobs.page(night)[2]

    assert cli("prioritize", last.job_id, "9").out == "priority 9\n"

    assert ledger.jobs.get(last.job_id).state is JobState.DISPATCHED
    assert ledger.batches.get(night).priority == 5
