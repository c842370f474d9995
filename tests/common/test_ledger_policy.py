from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import pytest
import redis

from common.ledger_audit import audit, snapshot
from common.ledger_scene import LANE, WORKER, begin, make_jobs, make_result, order_of, start_worker, submit
from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, BatchState, JobState
from reelmill_common.ledger import Ledger, OwnerView, PolicyChange, Refused, Wait
from reelmill_common.nights.clock import milliseconds
from reelmill_common.settings import Settings


def submit_as(ledger: Ledger, batch: Batch, count: int) -> None:
    ledger.submit(batch, make_jobs(batch.name, count))


def change(ledger: Ledger, batch: str, policy: PolicyChange) -> None:
    ledger.set_policy(ledger.batch(batch), policy)


def fail_one(ledger: Ledger) -> None:
    claimed = begin(ledger)
    ledger.fail(claimed.job_id, claimed.token, "bad_output", "all frames are black", retryable=False)


def finish_one(ledger: Ledger) -> None:
    claimed = begin(ledger)
    ledger.finish(claimed.job_id, claimed.token, make_result())


def sweep_when_due(ledger: Ledger, *, deadline_s: float = 60.0) -> None:
    ends = time.monotonic() + deadline_s
    while not ledger.sweep():
        assert time.monotonic() < ends, "nothing came due"


def sound(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        audit(snapshot(client, settings.farm))


def shares(order: Sequence[str], *, window: int = 100) -> list[Counter[str]]:
    return [Counter(order[start : start + window]) for start in range(len(order) - window + 1)]


# -- shares


def test_three_batches_of_a_thousand_share_one_one_two_within_five_percent_after_any_hundred_clips(
    ledger: Ledger,
) -> None:
    for batch, weight in (("amber", 1), ("birch", 1), ("cedar", 2)):
        submit(ledger, batch, 1000, weight=weight)
    start_worker(ledger)

    order: list[str] = []
    for _ in range(19):  # until cedar has ended, nearly
        ledger.beat(WORKER)  # on a busy machine it would count as dead before the end
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


def test_an_owners_weight_acts_on_the_next_clips(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="amber", owner="ann"), 100)
    submit_as(ledger, Batch(name="birch", owner="bob"), 100)
    start_worker(ledger)
    order_of(ledger, 10)

    ledger.set_owner("ann", weight=3)

    assert abs(Counter(order_of(ledger, 80))["amber"] - 60) <= 1


def test_an_owner_at_its_cap_lets_others_run_whatever_its_priority(ledger: Ledger, settings: Settings) -> None:
    ledger.set_owner("ann", max_in_flight=2)
    submit_as(ledger, Batch(name="amber", owner="ann", priority=9), 3)
    submit_as(ledger, Batch(name="birch", owner="ann", priority=8), 3)
    submit_as(ledger, Batch(name="cedar", owner="bob", priority=1), 5)
    start_worker(ledger)

    held = [begin(ledger) for _ in range(3)]
    sound(settings)
    ledger.finish(held[0].job_id, held[0].token, make_result())

    assert [claimed.batch for claimed in held] == ["amber", "amber", "cedar"]
    assert begin(ledger).batch == "amber"
    assert ledger.owner("ann") == OwnerView(name="ann", weight=1, max_in_flight=2, in_flight=2)


def test_an_owner_whose_cap_is_lifted_goes_on_at_once(ledger: Ledger) -> None:
    ledger.set_owner("ann", max_in_flight=1)
    submit_as(ledger, Batch(name="amber", owner="ann"), 3)
    start_worker(ledger)
    begin(ledger)
    assert ledger.pump(LANE) == []

    ledger.set_owner("ann", max_in_flight=0)

    assert len(ledger.pump(LANE)) == 2


def test_owners_are_listed_with_what_they_have_in_flight(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    ledger.set_owner("ann", weight=4)
    start_worker(ledger)
    begin(ledger)

    assert ledger.owners() == [
        OwnerView(name="", weight=1, max_in_flight=0, in_flight=1),
        OwnerView(name="ann", weight=4, max_in_flight=0, in_flight=0),
    ]


@pytest.mark.parametrize(("weight", "cap"), [(0, None), (101, None), (None, -1)])
def test_an_owners_policy_out_of_range_is_refused(ledger: Ledger, weight: int | None, cap: int | None) -> None:
    with pytest.raises(InvalidJob, match="is out of range; use"):
        ledger.set_owner("ann", weight=weight, max_in_flight=cap)

    assert ledger.owners() == []


# -- urgency


def test_an_urgent_clip_behind_a_hundred_thousand_is_the_next_that_starts(ledger: Ledger) -> None:
    submit(ledger, "bulk", 100_000)
    start_worker(ledger)
    in_hand = begin(ledger)
    ledger.pump(LANE, depth=2)

    submit(ledger, "urgent", 1, priority=9)
    ledger.finish(in_hand.job_id, in_hand.token, make_result())

    assert [item.priority for item in ledger.pump(LANE, depth=2)] == [9]  # the broker hands out the most urgent first


def test_prioritize_acts_on_the_next_clip(ledger: Ledger) -> None:
    submit(ledger, "amber", 50)
    submit(ledger, "birch", 50)
    start_worker(ledger)
    order_of(ledger, 10)

    ledger.prioritize_batch("birch", 6)

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
    ledger.pump(LANE, depth=3)

    change(ledger, "amber", PolicyChange(max_in_flight=1))

    assert ledger.batch("amber").counts[JobState.DISPATCHED] == 0
    assert ledger.pump(LANE, depth=3) == []


def test_a_change_to_what_is_so_already_disturbs_nothing(ledger: Ledger) -> None:
    submit(ledger, "amber", 5, weight=2)
    start_worker(ledger)
    (sent,) = ledger.pump(LANE, depth=1)

    change(ledger, "amber", PolicyChange(weight=2, max_in_flight=0, max_failures="", after=()))

    assert ledger.job(sent.job_id).generation == sent.generation
    assert ledger.job(sent.job_id).state is JobState.DISPATCHED


def test_what_is_changed_can_be_read(ledger: Ledger) -> None:
    submit(ledger, "first", 1)
    submit(ledger, "night", 1)
    policy = PolicyChange(
        weight=7, max_in_flight=3, max_failures="5%", start_after=4e9, expires_at=5e9, after=["first"]
    )

    change(ledger, "night", policy)

    view = ledger.batch("night")
    assert (view.weight, view.max_in_flight, view.max_failures) == (7, 3, "5%")
    assert (view.start_after, view.expires_at, view.after, view.after_any) == (4e9, 5e9, ("first",), ())


# -- budget


def test_a_batch_that_uses_up_its_failures_pauses_itself_and_says_why(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", max_failures="2"), 10)
    start_worker(ledger)
    before = ledger.newest_event()

    fail_one(ledger)
    assert ledger.batch("night").state is BatchState.ACTIVE
    fail_one(ledger)

    view = ledger.batch("night")
    assert (view.state, view.why_paused) == (BatchState.PAUSED, "2 failed, and max_failures is 2")
    assert ledger.pump(LANE) == []
    (event,) = [event for event in ledger.events(after=before) if event.name == "batch.paused"]
    assert event.fields == {"reason": "2 failed, and max_failures is 2"}
    sound(settings)


def test_a_resumed_batch_counts_its_failures_anew(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="2"), 10)
    start_worker(ledger)
    fail_one(ledger)
    fail_one(ledger)

    ledger.resume_batch("night")
    fail_one(ledger)

    view = ledger.batch("night")
    assert (view.state, view.why_paused) == (BatchState.ACTIVE, "")
    fail_one(ledger)
    assert ledger.batch("night").state is BatchState.PAUSED


def test_a_budget_can_be_a_share_of_the_batch(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="15%"), 20)
    start_worker(ledger)

    for _ in range(3):
        assert ledger.batch("night").state is BatchState.ACTIVE
        fail_one(ledger)

    assert ledger.batch("night").why_paused == "3 failed, and max_failures is 15%"


def test_an_attempt_that_is_tried_again_costs_nothing_of_the_budget(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", max_failures="1"), 3)
    start_worker(ledger)
    claimed = begin(ledger)

    ledger.fail(claimed.job_id, claimed.token, "bad_output", "all frames are black", retryable=True)

    assert ledger.batch("night").state is BatchState.ACTIVE


@pytest.mark.parametrize("budget", ["0", "-1", "0%", "101%", "many", "1.5", "5 %", "99999999"])
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    with pytest.raises(InvalidJob, match="use a number such as 10, or a share of 1% to 100%"):
        Batch(name="night", max_failures=budget)


# -- moments


def test_a_batch_waits_for_its_start_and_is_opened_by_whoever_sweeps(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", start_after=ledger.now().timestamp() + 3600), 3)
    start_worker(ledger)

    view = ledger.batch("night")
    assert (view.state, view.waits_for) == (BatchState.SCHEDULED, (Wait(kind="start", until=view.start_after),))
    assert ledger.pump(LANE) == []
    sound(settings)

    start = ledger.now().timestamp() + 0.3
    change(ledger, "night", PolicyChange(start_after=start))
    sweep_when_due(ledger)

    assert ledger.now().timestamp() >= start
    assert ledger.batch("night").state is BatchState.ACTIVE
    assert len(ledger.pump(LANE, depth=2)) == 2


def test_a_start_that_is_moved_into_the_future_takes_back_what_was_sent(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)
    (sent,) = ledger.pump(LANE, depth=1)

    change(ledger, "night", PolicyChange(start_after=4e9))
    assert ledger.batch("night").state is BatchState.SCHEDULED
    refused = ledger.claim(sent.job_id, sent.generation, WORKER, lease_s=60)
    change(ledger, "night", PolicyChange(start_after=0.0))

    assert refused is Refused.STALE
    assert len(ledger.pump(LANE, depth=1)) == 1


def test_what_has_not_started_when_its_batch_expires_fails_unrendered(ledger: Ledger, settings: Settings) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.now().timestamp() + 3600), 120)
    start_worker(ledger)
    running = begin(ledger)
    (sent,) = ledger.pump(LANE, depth=1)
    assert ledger.sweep() == 0

    change(ledger, "night", PolicyChange(expires_at=ledger.now().timestamp() + 0.1))
    sweep_when_due(ledger)

    assert ledger.claim(sent.job_id, sent.generation, WORKER, lease_s=60) is Refused.STALE
    assert ledger.finish(running.job_id, running.token, make_result())
    view = ledger.batch("night")
    assert (view.state, view.counts[JobState.FAILED], view.counts[JobState.SUCCEEDED]) == (BatchState.DONE, 119, 1)
    job = ledger.job(sent.job_id)
    assert (job.error or {})["code"] == "expired"
    assert job.attempts == 0
    sound(settings)


def test_a_message_that_comes_after_the_expiry_is_refused_although_nobody_swept(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.now().timestamp() + 3600), 2)
    start_worker(ledger)
    (sent,) = ledger.pump(LANE, depth=1)
    # Time passes: to change the moment by the ledger's own means would take the message back.
    ledger._server._redis.hset(ledger._keys.batch("night"), "expires", milliseconds(ledger.now()) - 1)

    assert ledger.claim(sent.job_id, sent.generation, WORKER, lease_s=60) is Refused.HELD
    assert ledger.pump(LANE) == []


def test_expired_jobs_cost_nothing_of_the_budget_and_can_be_retried_later(ledger: Ledger) -> None:
    submit_as(ledger, Batch(name="night", expires_at=ledger.now().timestamp() - 1, max_failures="1"), 3)
    start_worker(ledger)
    assert ledger.pump(LANE) == []
    ledger.sweep()
    assert ledger.retry_failed("night") == 3
    assert ledger.sweep() == 4  # three jobs again, and the batch

    change(ledger, "night", PolicyChange(expires_at=0.0))
    ledger.retry_failed("night")

    assert ledger.batch("night").state is BatchState.ACTIVE
    assert order_of(ledger, 3) == ["night"] * 3


def test_a_batch_that_would_expire_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidJob, match="nothing could ever start"):
        Batch(name="night", start_after=2000.0, expires_at=1000.0)


# -- batches that wait for others


def test_a_batch_waits_until_the_others_have_succeeded(ledger: Ledger, settings: Settings) -> None:
    submit(ledger, "amber", 1)
    submit(ledger, "birch", 1)
    submit_as(ledger, Batch(name="cedar", after=["amber", "birch"], priority=9), 1)
    start_worker(ledger)
    assert ledger.batch("cedar").state is BatchState.SCHEDULED

    first = order_of(ledger, 1)
    assert ledger.batch("cedar").waits_for == (Wait(kind="after", batch="birch"),)
    rest = order_of(ledger, 2)

    assert first + rest == ["amber", "birch", "cedar"]
    assert ledger.batch("cedar").waits_for == ()
    sound(settings)


def test_a_batch_whose_predecessor_failed_goes_on_waiting_and_says_so(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)
    before = ledger.newest_event()

    fail_one(ledger)

    assert ledger.pump(LANE) == []
    assert ledger.batch("birch").waits_for == (Wait(kind="after", batch="amber", stuck=True),)
    assert [event.fields for event in ledger.events(after=before) if event.name == "batch.stuck"] == [
        {"after": "amber"}
    ]


def test_a_predecessor_that_succeeds_after_a_retry_lets_the_batch_run(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)
    fail_one(ledger)

    ledger.retry_failed("amber")
    assert ledger.batch("birch").waits_for == (Wait(kind="after", batch="amber"),)

    assert order_of(ledger, 2) == ["amber", "birch"]


def test_a_batch_after_any_end_runs_also_after_failures(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after_any=["amber"]), 1)
    start_worker(ledger)
    assert ledger.batch("birch").state is BatchState.SCHEDULED

    fail_one(ledger)

    assert order_of(ledger, 1) == ["birch"]


def test_a_batch_after_one_that_has_succeeded_starts_at_once(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    start_worker(ledger)
    finish_one(ledger)

    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)

    assert order_of(ledger, 1) == ["birch"]


def test_what_a_batch_waits_for_can_be_taken_away(ledger: Ledger) -> None:
    submit(ledger, "amber", 1, priority=1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    start_worker(ledger)

    change(ledger, "birch", PolicyChange(after=()))

    assert order_of(ledger, 1) == ["birch"]


def test_a_batch_after_one_that_is_not_there_is_refused_and_nothing_is_made(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="'birch' should wait for 'amber', which is not there; submit that one first"):
        submit_as(ledger, Batch(name="birch", after=["amber"]), 600)

    assert ledger.batches() == []


def test_batches_that_would_wait_for_each_other_are_refused(ledger: Ledger) -> None:
    submit(ledger, "amber", 1)
    submit_as(ledger, Batch(name="birch", after=["amber"]), 1)
    submit_as(ledger, Batch(name="cedar", after_any=["birch"]), 1)

    with pytest.raises(InvalidJob, match="'amber' cannot wait for 'cedar', which waits for 'amber' itself"):
        change(ledger, "amber", PolicyChange(after=["cedar"]))

    assert ledger.batch("amber").state is BatchState.ACTIVE


def test_a_batch_cannot_wait_for_itself() -> None:
    with pytest.raises(InvalidJob, match="cannot wait for itself"):
        Batch(name="night", after=["night"])
