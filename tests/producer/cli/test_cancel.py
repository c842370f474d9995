"""`cancel`: what waits ends at once, what runs when its worker says so; it prints what is so afterwards."""

from __future__ import annotations

import threading

from fixtures.cli import Cli
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, Orders
from reelmill_producer.outputs.records import outcome


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
        said.append(outcome(ledger.batches.get(night)))
        ledger.attempts.cancelled(claimed.job_id, claimed.token)

    worker = threading.Thread(target=confirm)
    worker.start()

    ran = cli("cancel", night, "--json")

    worker.join()
    assert said == ["cancelling"]
    assert ran.json == {"target": night, "state": "cancelled", "touched": 3, "unconfirmed": 0}


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


def test_cancelling_what_is_done_says_what_it_is(cli: Cli, night: str, hand: Hand) -> None:
    claimed = hand.claim()
    hand.finish(claimed)

    ran = cli("cancel", claimed.job_id)

    assert (ran.status, ran.out) == (0, "succeeded\n")
    assert "had nothing left to cancel" in ran.err


def test_several_targets_are_cancelled_at_once(cli: Cli, night: str, ledger: Ledger) -> None:
    first, second, _ = ledger.jobs.page(night)

    ran = cli("cancel", first.job_id, second.job_id)

    assert ran.out == f"{first.job_id} cancelled\n{second.job_id} cancelled\n"
    assert ledger.batches.get(night).counts[JobState.CANCELLED] == 2


def test_an_unknown_target_among_several_cancels_none(cli: Cli, night: str, ledger: Ledger) -> None:
    ran = cli("cancel", night, "nobody")

    assert (ran.status, ran.out) == (66, "")
    assert ledger.batches.get(night).counts[JobState.CANCELLED] == 0
