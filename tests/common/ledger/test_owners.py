"""Owners: their weight and their cap, changed while the farm runs."""

from __future__ import annotations

from collections import Counter

import pytest

from common.ledger_audit import sound
from common.ledger_steps import LANE, begin, make_result, order_of, start_worker, submit, submit_as
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch
from reelmill_common.ledger import Ledger, OwnerView
from reelmill_common.settings import Settings


def test_an_owners_weight_acts_on_the_next_clips(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="amber", owner="ann"), 100)
    submit_as(ledger, Batch(name="birch", owner="bob"), 100)
    start_worker(ledger)
    order_of(ledger, 10)

    ledger.owners.set("ann", weight=3)

    assert abs(Counter(order_of(ledger, 80))["amber"] - 60) <= 1


def test_an_owner_at_its_cap_lets_others_run_whatever_its_priority(ledger: Ledger, settings: Settings) -> None:
    ledger.owners.set("ann", max_in_flight=2)
    submit_as(ledger, Batch(name="amber", owner="ann", priority=9), 3)
    submit_as(ledger, Batch(name="birch", owner="ann", priority=8), 3)
    submit_as(ledger, Batch(name="cedar", owner="bob", priority=1), 5)
    start_worker(ledger)

    held = [begin(ledger) for _ in range(3)]
    sound(settings)
    ledger.attempts.finish(held[0].job_id, held[0].token, make_result())

    assert [claimed.batch for claimed in held] == ["amber", "amber", "cedar"]
    assert begin(ledger).batch == "amber"
    assert ledger.owners.get("ann") == OwnerView(name="ann", weight=1, max_in_flight=2, in_flight=2)


def test_an_owner_whose_cap_is_lifted_goes_on_at_once(ledger: Ledger) -> None:
    ledger.owners.set("ann", max_in_flight=1)
    submit_as(ledger, Batch(name="amber", owner="ann"), 3)
    start_worker(ledger)
    begin(ledger)
    assert ledger.dispatch.pump(LANE) == []

    ledger.owners.set("ann", max_in_flight=0)

    assert len(ledger.dispatch.pump(LANE)) == 2


def test_owners_are_listed_with_what_they_have_in_flight(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    ledger.owners.set("ann", weight=4)
    start_worker(ledger)
    begin(ledger)

    assert ledger.owners.all() == [
        OwnerView(name="", weight=1, max_in_flight=0, in_flight=1),
        OwnerView(name="ann", weight=4, max_in_flight=0, in_flight=0),
    ]


@pytest.mark.parametrize(("weight", "cap"), [(0, None), (101, None), (None, -1)])
def test_an_owners_policy_out_of_range_is_refused(ledger: Ledger, weight: int | None, cap: int | None) -> None:
    with pytest.raises(InvalidJob, match="is out of range; use"):
        ledger.owners.set("ann", weight=weight, max_in_flight=cap)

    assert ledger.owners.all() == []
