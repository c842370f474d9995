"""Scheduling order: shares of owners and batches, caps, urgency, and what changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from common.ledger_steps import LANE, WORKER, begin, change, make_result, order_of, start_worker, submit, submit_as
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import Ledger, PolicyChange


def shares(order: Sequence[str], *, window: int = 100) -> list[Counter[str]]:
    assert len(order) > window
    return [Counter(order[start : start + window]) for start in range(len(order) - window + 1)]


def test_three_batches_of_a_thousand_share_one_one_two_within_five_percent_after_any_hundred_clips(
    ledger: Ledger,
) -> None:
    for batch, weight in (("amber", 1), ("birch", 1), ("cedar", 2)):
        submit(ledger, batch, 1000, weight=weight)
    start_worker(ledger)

    order: list[str] = []
    for _ in range(19):  # until cedar has ended, nearly
        ledger.workers.beat(WORKER)  # on a busy machine it would count as dead before the end
        order += order_of(ledger, 100)

    for end in range(100, len(order) + 1):
        done = Counter(order[:end])
        assert abs(done["amber"] - end / 4) <= 0.05 * end / 4
        assert abs(done["cedar"] - end / 2) <= 0.05 * end / 2
    for counts in shares(order):
        assert abs(counts["amber"] - 25) <= 1.25
        assert abs(counts["birch"] - 25) <= 1.25
        assert abs(counts["cedar"] - 50) <= 2.5


def test_owners_share_equally_however_many_batches_each_has(ledger: Ledger) -> None:
    for number in range(5):
        submit_as(ledger, Batch(name=f"ann-{number}", owner="ann"), 40)
    submit_as(ledger, Batch(name="bob", owner="bob"), 100)
    start_worker(ledger)

    order = order_of(ledger, 120)

    for counts in shares(order):
        assert abs(counts["bob"] - 50) <= 1
        assert {abs(counts[f"ann-{number}"] - 10) <= 1 for number in range(5)} == {True}


def test_batches_of_one_owner_share_its_part_by_their_weights(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="amber", owner="ann", weight=3), 100)
    submit_as(ledger, Batch(name="birch", owner="ann", weight=1), 100)
    submit_as(ledger, Batch(name="cedar", owner="bob", weight=100), 100)
    start_worker(ledger)

    assert Counter(order_of(ledger, 80)) == {"amber": 30, "birch": 10, "cedar": 40}


# -- urgency


def test_an_urgent_clip_behind_a_hundred_thousand_is_the_next_that_starts(ledger: Ledger) -> None:
    submit(ledger, "bulk", 100_000)
    start_worker(ledger)
    in_hand = begin(ledger)
    ledger.dispatch.pump(LANE, depth=2)

    submit(ledger, "urgent", 1, priority=9)
    ledger.attempts.finish(in_hand.job_id, in_hand.token, make_result())

    assert [item.priority for item in ledger.dispatch.pump(LANE, depth=2)] == [
        9
    ]  # the broker hands out the most urgent first


def test_prioritize_acts_on_the_next_clip(ledger: Ledger) -> None:
    submit(ledger, "amber", 50)
    submit(ledger, "birch", 50)
    start_worker(ledger)
    order_of(ledger, 10)

    ledger.batches.prioritize("birch", 6)

    assert order_of(ledger, 20) == ["birch"] * 20


# -- changes


def test_a_new_weight_acts_on_the_next_clips(ledger: Ledger) -> None:
    submit(ledger, "amber", 100)
    submit(ledger, "birch", 100)
    start_worker(ledger)
    order_of(ledger, 10)

    change(ledger, "birch", PolicyChange(weight=3))

    assert abs(Counter(order_of(ledger, 80))["birch"] - 60) <= 1


def test_a_new_cap_takes_back_what_was_sent(ledger: Ledger) -> None:
    submit(ledger, "amber", 5)
    start_worker(ledger)
    begin(ledger)
    ledger.dispatch.pump(LANE, depth=3)

    change(ledger, "amber", PolicyChange(max_in_flight=1))

    assert ledger.batches.get("amber").counts[JobState.DISPATCHED] == 0
    assert ledger.dispatch.pump(LANE, depth=3) == []


def test_a_change_to_what_is_so_already_disturbs_nothing(ledger: Ledger) -> None:
    submit(ledger, "amber", 5, weight=2)
    start_worker(ledger)
    (sent,) = ledger.dispatch.pump(LANE, depth=1)

    change(ledger, "amber", PolicyChange(weight=2, max_in_flight=0, max_failures="", after=()))

    assert ledger.jobs.get(sent.job_id).generation == sent.generation
    assert ledger.jobs.get(sent.job_id).state is JobState.DISPATCHED


def test_what_is_changed_can_be_read(ledger: Ledger) -> None:
    submit(ledger, "first", 1)
    submit(ledger, "night", 1)
    policy = PolicyChange(
        weight=7, max_in_flight=3, max_failures="5%", start_after=4e9, expires_at=5e9, after=["first"]
    )

    change(ledger, "night", policy)

    view = ledger.batches.get("night")
    assert (view.weight, view.max_in_flight, view.max_failures) == (7, 3, "5%")
    assert (view.start_after, view.expires_at, view.after, view.after_any) == (4e9, 5e9, ("first",), ())
