"""Accounts: what clips cost is counted once, for batch and owner, and outlives the batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.ledger_steps import begin, make_jobs, make_result, start_worker
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import Account, Ledger, Spent

METERED = replace(make_result(), gpu_s=1.5, energy_j=900.25)


@pytest.fixture(autouse=True)
def worker(ledger: Ledger) -> None:
    start_worker(ledger)


def submit(ledger: Ledger, count: int, *, batch: str = "night", owner: str = "ada") -> None:
    ledger.batches.submit(Batch(name=batch, owner=owner), make_jobs(batch, count))


def test_a_clip_is_charged_to_its_batch_and_to_its_owner(ledger: Ledger) -> None:
    submit(ledger, 1)
    claimed = begin(ledger)

    ledger.attempts.finish(claimed.job_id, claimed.token, METERED)

    expected = Account(clips=1, size_bytes=1234, gpu_s=1.5, energy_j=900.25, metered=1)
    assert ledger.batches.get("night").account == expected
    assert ledger.accounts.by_owner() == {"ada": expected}
    assert ledger.jobs.get(claimed.job_id).result == METERED


def test_a_result_that_is_reported_twice_is_charged_once(ledger: Ledger) -> None:
    submit(ledger, 1)
    claimed = begin(ledger)

    answers = [ledger.attempts.finish(claimed.job_id, claimed.token, METERED) for _ in range(2)]

    assert answers == [True, True]
    assert ledger.batches.get("night").account.clips == 1


def test_energy_that_was_not_measured_is_unknown_and_not_zero(ledger: Ledger) -> None:
    submit(ledger, 2)
    for result in (make_result(), METERED):
        claimed = begin(ledger)
        ledger.attempts.finish(claimed.job_id, claimed.token, result)
        energy = ledger.batches.get("night").account.energy_j
        assert energy == result.energy_j

    account = ledger.batches.get("night").account
    assert (account.clips, account.metered) == (2, 1)


def test_what_failed_attempts_took_is_wasted(ledger: Ledger) -> None:
    submit(ledger, 1)
    for energy in (50.0, None):
        claimed = begin(ledger)
        ledger.attempts.fail(
            claimed.job_id,
            claimed.token,
            "store_error",
            "gone",
            retryable=True,
            spent=Spent(gpu_s=0.75, energy_j=energy),
        )

    account = ledger.batches.get("night").account

    assert account == Account(wasted_gpu_s=1.5, wasted_energy_j=50.0)
    assert ledger.accounts.by_owner()["ada"] == account


def test_an_attempt_that_lost_its_lease_is_not_charged_twice(ledger: Ledger) -> None:
    submit(ledger, 1)
    claimed = begin(ledger)
    ledger.attempts.release(claimed.job_id, claimed.token)

    late = ledger.attempts.fail(
        claimed.job_id, claimed.token, "bad_output", "black", retryable=True, spent=Spent(gpu_s=9.0)
    )

    assert late is None
    assert ledger.batches.get("night").account == Account()


def test_a_clip_that_was_stopped_half_way_is_wasted(ledger: Ledger) -> None:
    submit(ledger, 1)
    claimed = begin(ledger)
    ledger.batches.cancel("night")

    for _ in range(2):
        assert ledger.attempts.cancelled(claimed.job_id, claimed.token, spent=Spent(gpu_s=0.5))

    assert ledger.jobs.get(claimed.job_id).state is JobState.CANCELLED
    assert ledger.batches.get("night").account == Account(wasted_gpu_s=0.5)


def test_an_owners_account_sums_its_batches_and_outlives_them(ledger: Ledger) -> None:
    for batch in ("night", "day"):
        submit(ledger, 1, batch=batch)
        claimed = begin(ledger)
        ledger.attempts.finish(claimed.job_id, claimed.token, METERED)
    for batch in ("night", "day"):
        ledger.retention.prune_batch(ledger.batches.get(batch))

    assert ledger.batches.all() == []
    assert ledger.accounts.by_owner()["ada"] == Account(clips=2, size_bytes=2468, gpu_s=3.0, energy_j=1800.5, metered=2)


def test_days_before_a_time_do_not_count(ledger: Ledger) -> None:
    submit(ledger, 1)
    claimed = begin(ledger)
    ledger.attempts.finish(claimed.job_id, claimed.token, METERED)
    now = ledger.timetable.now().timestamp()

    assert ledger.accounts.by_owner(since=now)["ada"].clips == 1
    assert ledger.accounts.by_owner(since=now + 2 * 86_400)["ada"] == Account()
