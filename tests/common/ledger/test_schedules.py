"""Schedules: each run is submitted once, however many workers tick."""

from __future__ import annotations

import pytest

from common.schedule_steps import add
from reelmill_common.errors import JobConflict, NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.services.scheduler import Ticker


def test_a_paused_schedule_runs_no_more_and_leaves_out_what_it_missed(ledger: Ledger) -> None:
    add(ledger)
    ledger.schedules.pause("nightly")
    before = ledger.schedules.get("nightly")

    ledger.schedules.resume("nightly")

    after = ledger.schedules.get("nightly")
    assert (before.paused, before.next_at, after.paused) == (True, None, False)
    assert after.next_at is not None
    assert after.next_at > ledger.timetable.now().timestamp() - 1


def test_a_schedule_is_not_replaced_unawares(ledger: Ledger) -> None:
    add(ledger)

    with pytest.raises(JobConflict, match="--replace"):
        add(ledger)


def test_a_removed_schedule_leaves_nothing_behind_and_finishes_what_it_began(ledger: Ledger) -> None:
    add(ledger, "0 0 1 1 *")
    batch = ledger.schedules.run("nightly")

    ledger.schedules.remove("nightly")
    Ticker().round(ledger)

    keys = {key.split("}:")[1].split(":")[0] for key in ledger._server._redis.keys(f"{ledger._keys.prefix}*")}
    assert ledger.batches.get(batch).total == 3
    assert not keys & {"rows", "run", "runs", "schedule", "schedules", "schedule_names"}
    with pytest.raises(NotFound):
        ledger.schedules.get("nightly")
