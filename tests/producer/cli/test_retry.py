"""`retry`: what failed or was cancelled is queued again, all of it or a choice."""

from __future__ import annotations

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger


def test_a_retry_of_nothing_says_what_there_is(cli: Cli, night: str, hand: Hand) -> None:
    hand.finish(hand.claim())

    ran = cli("retry", night, "--code", "foo")

    assert (ran.status, ran.out) == (0, "0\n")
    assert (
        "night has no such clip with the error foo to try again: 0 failed, 0 cancelled, 1 succeeded, 2 still open"
        in ran.err
    )


def test_retry_queues_failed_and_cancelled_clips_again(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    hand.fail(hand.claim())
    cli("cancel", night)

    ran = cli("retry", night)

    assert ran.out == "3\n"
    assert ledger.batches.get(night).remaining == 3


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        pytest.param(("--failed",), ["fox"], id="failed"),
        pytest.param(("--cancelled",), ["owl", "hare"], id="cancelled"),
        pytest.param(("--failed", "--cancelled"), ["fox", "owl", "hare"], id="both"),
        pytest.param(("--code", "bad_output"), ["fox"], id="by code"),
        pytest.param(("--code", "worker_lost"), [], id="by a code that none has"),
        pytest.param(("--only", "fox,hare"), ["fox", "hare"], id="by row"),
    ],
)
def test_retry_takes_what_is_chosen(
    cli: Cli, night: str, hand: Hand, ledger: Ledger, arguments: tuple[str, ...], rows: list[str]
) -> None:
    hand.fail(hand.claim())
    cli("cancel", night)

    ran = cli("retry", night, *arguments)

    assert ran.out == f"{len(rows)}\n"
    assert [job.row for job in ledger.jobs.page(night) if not job.state.is_final] == rows


def test_one_job_is_retried(cli: Cli, night: str, ledger: Ledger) -> None:
    cli("cancel", night)

    assert cli("retry", ledger.jobs.page(night)[2].job_id, "--json").json["retried"] == 1
    assert ledger.batches.get(night).remaining == 1


def test_an_unknown_row_retries_none(cli: Cli, night: str, ledger: Ledger) -> None:
    cli("cancel", night)

    ran = cli("retry", night, "--only", "fox,wolf")

    assert ran.status == 66
    assert "has no row or job wolf" in ran.err
    assert ledger.batches.get(night).remaining == 0


def test_a_choice_among_the_jobs_of_a_job_is_a_usage_error(cli: Cli, night: str, ledger: Ledger) -> None:
    job = ledger.jobs.page(night)[0]

    assert cli("retry", job.job_id, "--failed").status == 2
    assert cli("retry", job.job_id, "--only", "fox").status == 2
