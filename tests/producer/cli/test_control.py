"""`cancel`, `pause`, `resume`, `retry`, `prioritize`: they act, and say only what is so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fixtures.cli import Cli
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Ledger, Orders


@pytest.fixture
def night(cli: Cli, tmp_path: Path) -> str:
    """A batch of three clips that waits."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return cli("submit", tmp_path / "night.csv").out.strip()


def test_what_waits_is_cancelled_at_once(cli: Cli, night: str, ledger: Ledger) -> None:
    ran = cli("cancel", night)

    assert (ran.status, ran.out) == (0, "cancelled\n")
    assert ledger.batches.get(night).counts[JobState.CANCELLED] == 3


def test_a_running_clip_is_cancelled_only_when_its_worker_says_so(
    cli: Cli, night: str, hand: Hand, ledger: Ledger
) -> None:
    claimed = hand.claim()
    said: list[str] = []

    def confirm() -> None:
        wait_for(lambda: ledger.attempts.renew(claimed.job_id, claimed.token, lease_s=60) is Orders.CANCEL)
        said.append(cli_status_outcome(ledger, night))
        ledger.attempts.cancelled(claimed.job_id, claimed.token)

    worker = threading.Thread(target=confirm)
    worker.start()

    ran = cli("cancel", night, "--json")

    worker.join()
    assert said == ["cancelling"]
    assert ran.json == {"target": night, "state": "cancelled", "touched": 3, "unconfirmed": 0}


def cli_status_outcome(ledger: Ledger, batch: str) -> str:
    from reelmill_producer.cli.output import outcome  # noqa: PLC0415 - beside its only use

    return outcome(ledger.batches.get(batch))


def test_a_cancel_that_is_not_confirmed_in_time_says_requested(cli: Cli, night: str, hand: Hand) -> None:
    hand.claim()

    ran = cli("cancel", night, "--timeout", "0.5")

    assert (ran.status, ran.out) == (75, "cancel requested\n")
    assert "1 running clips have not stopped yet" in ran.err


def test_a_cancel_that_does_not_wait_is_no_failure(cli: Cli, night: str, hand: Hand) -> None:
    hand.claim()

    ran = cli("cancel", night, "--timeout", "0")

    assert (ran.status, ran.out) == (0, "cancel requested\n")


def test_one_job_can_be_cancelled(cli: Cli, night: str, ledger: Ledger) -> None:
    job = ledger.jobs.page(night)[1]

    ran = cli("cancel", job.job_id)

    assert ran.out == "cancelled\n"
    assert [view.state for view in ledger.jobs.page(night)].count(JobState.CANCELLED) == 1


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


def test_a_retry_of_nothing_says_what_there_is(cli: Cli, night: str, hand: Hand) -> None:
    hand.finish(hand.claim())

    ran = cli("retry", night, "--code", "foo")

    assert (ran.status, ran.out) == (0, "0\n")
    assert "with the error foo is there to try again: of night 0 failed, 0 cancelled, 1 succeeded, 2 go on" in ran.err


def test_cancelling_what_is_done_says_what_it_is(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()
    hand.finish(claimed)

    ran = cli("cancel", claimed.job_id)

    assert (ran.status, ran.out) == (0, "succeeded\n")
    assert "was left to cancel" in ran.err


def test_a_pause_holds_and_a_resume_goes_on(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    assert cli("pause", night).out == "paused\n"
    assert ledger.batches.get(night).state is BatchState.PAUSED
    assert ledger.dispatch.pump("tiny") == []

    assert cli("resume", night).out == "resumed\n"

    assert ledger.batches.get(night).state is BatchState.ACTIVE
    assert ledger.batches.get(night).counts[JobState.DISPATCHED] == 2


def test_retry_queues_failed_and_cancelled_clips_again(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    hand.fail(hand.claim())
    cli("cancel", night)

    ran = cli("retry", night)

    assert ran.out == "3\n"
    assert ledger.batches.get(night).remaining == 3


def test_prioritize_changes_the_batch(cli: Cli, night: str, ledger: Ledger) -> None:
    ran = cli("prioritize", night, "9", "--json")

    assert ran.json["priority"] == 9
    assert ledger.batches.get(night).priority == 9


def test_a_priority_out_of_range_is_a_usage_error(cli: Cli, night: str) -> None:
    assert cli("prioritize", night, "10").status == 2


def test_several_targets_are_cancelled_at_once(cli: Cli, night: str, ledger: Ledger) -> None:
    first, second, _ = ledger.jobs.page(night)

    ran = cli("cancel", first.job_id, second.job_id)

    assert ran.out == f"{first.job_id} cancelled\n{second.job_id} cancelled\n"
    assert ledger.batches.get(night).counts[JobState.CANCELLED] == 2


def test_an_unknown_target_among_several_cancels_none(cli: Cli, night: str, ledger: Ledger) -> None:
    ran = cli("cancel", night, "nobody")

    assert (ran.status, ran.out) == (66, "")
    assert ledger.batches.get(night).counts[JobState.CANCELLED] == 0


def test_one_job_is_held_and_resumed(cli: Cli, night: str, ledger: Ledger) -> None:
    job = ledger.jobs.page(night)[1]

    assert cli("pause", job.job_id).out == "held\n"
    assert "1 jobs of night are held singly" in cli("resume", night).err
    assert cli("resume", night, "--held", "--json").json["counts"]["held"] == 0


def test_a_running_job_is_not_said_to_be_held(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()

    ran = cli("pause", claimed.job_id)

    assert (ran.status, ran.out) == (75, "running\n")
    assert "cannot be held" in ran.err


def test_one_job_is_made_more_urgent_than_its_batch(cli: Cli, night: str, hand: Hand, ledger: Ledger) -> None:
    last = ledger.jobs.page(night)[2]

    assert cli("prioritize", last.job_id, "9").out == "priority 9\n"

    assert ledger.jobs.get(last.job_id).state is JobState.DISPATCHED
    assert ledger.batches.get(night).priority == 5


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
