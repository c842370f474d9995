from __future__ import annotations

from collections import Counter

import pytest

from common.ledger_steps import LANE, WORKER, begin, claim, make_jobs, make_result, order_of, start_worker, submit
from reelmill_common.contract import LABEL_CHARS, LABEL_SEPARATOR, PROMPT_CHARS
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Dispatch, Ledger, Refused, WorkerInfo, WorkerState, base, dispatch
from reelmill_common.ledger.dispatch import task_id


def test_nothing_is_dispatched_while_no_worker_is_ready(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    ledger.workers.register(WORKER, LANE, WorkerInfo())

    assert ledger.dispatch.pump(LANE) == []


def test_a_worker_of_another_lane_does_not_count(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger, lane="fastwan-qad-fp8")

    assert ledger.dispatch.pump(LANE) == []


def test_a_worker_whose_beats_stopped_does_not_count(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)
    monkeypatch.setattr(base, "LIVE_S", 0.0)

    assert ledger.dispatch.pump(LANE) == []
    assert [worker.state for worker in ledger.workers.all()] == [WorkerState.DEAD]


def test_a_dispatch_carries_what_a_message_needs(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1, priority=7)
    start_worker(ledger)

    assert ledger.dispatch.pump(LANE) == [
        Dispatch(job_id=job_id, generation=1, lane=LANE, priority=7, label="night · seed 1024 · clip 0 of night"),
    ]
    assert ledger.jobs.get(job_id).state is JobState.DISPATCHED


def test_a_long_prompt_makes_a_short_label(ledger: Ledger) -> None:
    job = RenderJob(batch="night", row="long", spec=RenderSpec(prompt="fox " * 100, profile=LANE))
    ledger.batches.submit(Batch(name="night"), [job])
    start_worker(ledger)

    (item,) = ledger.dispatch.pump(LANE)

    batch, seed, prompt = item.label.split(LABEL_SEPARATOR)
    assert (batch, seed) == ("night", "seed 1024")
    assert len(prompt) == PROMPT_CHARS
    assert prompt.startswith("fox fox")
    assert prompt.endswith("…")
    assert len(item.label) <= LABEL_CHARS


def test_a_prompt_that_shall_be_hidden_is_in_no_label(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)

    (item,) = ledger.dispatch.pump(LANE, prompts="hide")

    assert item.label == "night · seed 1024 · "


def test_the_depth_is_kept_for_each_live_worker(ledger: Ledger) -> None:
    submit(ledger, "night", 10)
    start_worker(ledger, "gpu0@test")
    start_worker(ledger, "gpu1@test")

    first, second = ledger.dispatch.pump(LANE, depth=3), ledger.dispatch.pump(LANE, depth=3)
    claim(ledger, first[0], worker="gpu1@test")
    third = ledger.dispatch.pump(LANE, depth=3)

    assert [len(items) for items in (first, second, third)] == [6, 0, 1]


def test_more_than_one_script_can_choose_are_chosen_by_one_pump(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 130)
    start_worker(ledger)

    assert [item.job_id for item in ledger.dispatch.pump(LANE, depth=120)] == ids[:120]


def test_a_batch_runs_first_come_first_served(ledger: Ledger) -> None:
    ids = submit(ledger, "night", 4)
    start_worker(ledger)

    assert [begin(ledger).job_id for _ in ids] == ids


def test_a_lower_priority_waits_while_a_higher_one_has_work(ledger: Ledger) -> None:
    submit(ledger, "low", 2, priority=1)
    submit(ledger, "high", 3, priority=8)
    start_worker(ledger)

    assert order_of(ledger, 5) == ["high", "high", "high", "low", "low"]


def test_an_urgent_job_is_dispatched_although_the_depth_is_used_up_by_less_urgent_ones(ledger: Ledger) -> None:
    submit(ledger, "bulk", 10, priority=1)
    start_worker(ledger)
    assert len(ledger.dispatch.pump(LANE, depth=2)) == 2
    submit(ledger, "urgent", 3, priority=9)

    chosen = ledger.dispatch.pump(LANE, depth=2)

    assert [item.priority for item in chosen] == [9, 9]
    assert ledger.dispatch.pump(LANE, depth=2) == []


def test_less_urgent_jobs_get_no_room_beside_more_urgent_ones(ledger: Ledger) -> None:
    submit(ledger, "urgent", 2, priority=9)
    submit(ledger, "bulk", 2, priority=1)
    start_worker(ledger)

    assert [item.priority for item in ledger.dispatch.pump(LANE, depth=2)] == [9, 9]
    assert ledger.dispatch.pump(LANE, depth=2) == []


def test_batches_of_equal_priority_share_by_weight_at_any_time(ledger: Ledger) -> None:
    for batch, weight in (("amber", 1), ("birch", 1), ("cedar", 2)):
        submit(ledger, batch, 120, weight=weight)
    start_worker(ledger)

    order = order_of(ledger, 200)

    for end in range(100, 201):
        counts = Counter(order[end - 100 : end])
        assert abs(counts["amber"] - 25) <= 1
        assert abs(counts["birch"] - 25) <= 1
        assert abs(counts["cedar"] - 50) <= 2


def test_a_batch_that_comes_late_neither_catches_up_nor_starves(ledger: Ledger) -> None:
    submit(ledger, "early", 60)
    start_worker(ledger)
    order_of(ledger, 30)
    submit(ledger, "late", 20)

    order = order_of(ledger, 20)

    assert Counter(order) == {"early": 10, "late": 10}
    assert order[0] != order[1]


def test_a_batch_that_was_paused_does_not_catch_up_either(ledger: Ledger) -> None:
    submit(ledger, "amber", 60)
    submit(ledger, "birch", 60)
    start_worker(ledger)
    order_of(ledger, 4)
    ledger.batches.pause("birch")
    order_of(ledger, 20)
    ledger.batches.resume("birch")

    assert Counter(order_of(ledger, 20)) == {"amber": 10, "birch": 10}


def test_a_batch_at_its_cap_lets_others_run_and_comes_back_when_one_ends(ledger: Ledger) -> None:
    submit(ledger, "capped", 5, priority=9, cap=2)
    submit(ledger, "other", 5, priority=1)
    start_worker(ledger)

    batches = [begin(ledger) for _ in range(3)]
    ledger.attempts.finish(batches[0].job_id, batches[0].token, make_result())

    assert [claimed.batch for claimed in batches] == ["capped", "capped", "other"]
    assert begin(ledger).batch == "capped"
    assert begin(ledger).batch == "other"


def test_jobs_of_one_batch_go_to_the_lanes_of_their_profiles(ledger: Ledger) -> None:
    jobs = make_jobs("night", 2) + make_jobs("night", 2, start=2, lane="fastwan-qad-fp8")
    ledger.batches.submit(Batch(name="night"), jobs)
    start_worker(ledger, "gpu0@test", LANE)
    start_worker(ledger, "gpu1@test", "fastwan-qad-fp8")

    assert [item.job_id for item in ledger.dispatch.pump(LANE)] == [job.job_id for job in jobs[:2]]
    assert [item.job_id for item in ledger.dispatch.pump("fastwan-qad-fp8")] == [job.job_id for job in jobs[2:]]


def test_a_batch_shares_fairly_at_its_new_priority_whatever_it_had_before(ledger: Ledger) -> None:
    submit(ledger, "old", 60, priority=5)
    submit(ledger, "new", 60, priority=9)
    start_worker(ledger)
    order_of(ledger, 30)
    ledger.batches.prioritize("new", 5)

    assert Counter(order_of(ledger, 20)) == {"old": 10, "new": 10}


def test_a_vanished_message_is_sent_again_under_a_new_generation(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)
    (lost,) = ledger.dispatch.pump(LANE, depth=1)
    assert ledger.dispatch.reap() == 0

    monkeypatch.setattr(dispatch, "VANISHED_S", 0.0)
    assert ledger.dispatch.reap() == 1

    (again,) = ledger.dispatch.pump(LANE, depth=1)
    assert (again.job_id, again.generation) == (lost.job_id, lost.generation + 1)
    assert ledger.attempts.claim(lost.job_id, lost.generation, WORKER, lease_s=60) is Refused.STALE


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "[1]", "{}", '{"headers": 1}', '{"headers": {}}', "\x1b[2J", "[" * 100_000, '[["x"]]'],
)
def test_what_is_no_message_is_nobodys(text: str) -> None:
    assert task_id(text) == ""
