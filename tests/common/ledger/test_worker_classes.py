"""Worker classes in the ledger: a job that asks for a class waits for its workers, which also render all other jobs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from common.ledger_steps import LANE, LEASE_S, WORKER, claim, make_jobs, make_result, start_worker, submit
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import Dispatch, Ledger, Refused, WorkerInfo

H100 = f"{LANE}@h100"
STUDIO = f"{LANE}@studio"


def start(ledger: Ledger, worker: str, *classes: str) -> None:
    ledger.workers.register(worker, LANE, WorkerInfo(pid=1))
    ledger.workers.ready(worker, WorkerInfo(pid=1), lanes=[*(f"{LANE}@{name}" for name in classes), LANE])


def submit_pinned(ledger: Ledger, batch: str, count: int, worker_class: str, *, priority: int = 5) -> list[str]:
    jobs = make_jobs(batch, count)
    ledger.batches.submit(Batch(name=batch, priority=priority, worker_class=worker_class, owner=batch), jobs)
    return [job.job_id for job in jobs]


def run_as(ledger: Ledger, worker: str, sent: list[Dispatch], lanes: Sequence[str]) -> str:
    """Do what a worker does: take the most urgent message of its queues, the first queue's at equal priority."""
    sent += ledger.dispatch.pump(LANE, depth=2)
    item = min((item for item in sent if item.lane in lanes), key=lambda item: (-item.priority, lanes.index(item.lane)))
    sent.remove(item)
    claimed = claim(ledger, item, worker=worker)
    ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    return claimed.batch


def test_a_pinned_job_waits_for_a_worker_of_its_class(ledger: Ledger) -> None:
    start(ledger, "gpu0@a")
    submit_pinned(ledger, "night", 1, "h100")

    before = ledger.dispatch.pump(LANE)
    start(ledger, "gpu0@b", "h100")
    after = ledger.dispatch.pump(LANE)

    assert before == []
    assert [item.lane for item in after] == [H100]


def test_a_worker_without_the_class_may_not_claim_a_pinned_job(ledger: Ledger) -> None:
    start(ledger, "gpu0@a")
    start(ledger, "gpu0@b", "h100")
    (job_id,) = submit_pinned(ledger, "night", 1, "h100")
    (item,) = ledger.dispatch.pump(LANE)

    answer = ledger.attempts.claim(item.job_id, item.generation, "gpu0@a", lease_s=LEASE_S)

    assert answer is Refused.UNFIT
    assert ledger.jobs.get(job_id).state is JobState.QUEUED


def test_a_worker_of_a_class_renders_jobs_without_one_too(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100", "studio")
    submit(ledger, "any", 1)
    submit_pinned(ledger, "pinned", 1, "studio")

    items = ledger.dispatch.pump(LANE)
    claimed = {claim(ledger, item).batch for item in items}

    assert claimed == {"any", "pinned"}


def test_a_jobs_own_class_goes_before_its_batchs(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100", "studio")
    (job,) = make_jobs("night", 1)
    own = RenderJob(batch="night", row="own", spec=job.spec, worker_class="studio")

    ledger.batches.submit(Batch(name="night", worker_class="h100"), [job, own])

    assert [view.lane for view in ledger.jobs.page("night")] == [H100, STUDIO]
    assert ledger.batches.get("night").worker_class == "h100"


def test_rows_that_come_later_are_pinned_like_their_batch(ledger: Ledger) -> None:
    submit_pinned(ledger, "night", 1, "h100")

    ledger.batches.submit(Batch(name="night"), make_jobs("night", 1, start=1))

    assert [view.lane for view in ledger.jobs.page("night")] == [H100, H100]


def test_a_worker_of_many_classes_is_sent_no_more_than_another(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100", "studio", "fast")
    for name in ("h100", "studio", "fast"):
        submit_pinned(ledger, name, 5, name)
    submit(ledger, "any", 5)

    assert len(ledger.dispatch.pump(LANE, depth=2)) == 2


def test_classes_do_not_take_the_places_of_workers_that_lack_them(ledger: Ledger) -> None:
    start(ledger, "gpu0@a", "h100", "studio")
    start(ledger, "gpu0@b")
    for name in ("h100", "studio"):
        submit_pinned(ledger, name, 5, name)
    submit(ledger, "any", 5)

    sent = Counter(item.lane == LANE for item in ledger.dispatch.pump(LANE, depth=2))

    assert sent == {True: 2, False: 2}


@pytest.mark.parametrize(("urgent_class", "other_class"), [("h100", ""), ("", "h100")])
def test_an_urgent_clip_waits_one_render_whatever_its_lane(ledger: Ledger, urgent_class: str, other_class: str) -> None:
    start(ledger, WORKER, "h100")
    submit_pinned(ledger, "long", 20, other_class, priority=5)
    sent = list(ledger.dispatch.pump(LANE, depth=2))
    submit_pinned(ledger, "urgent", 1, urgent_class, priority=9)

    assert run_as(ledger, WORKER, sent, [H100, LANE]) == "urgent"


def test_a_pinned_and_a_general_batch_share_one_worker_fairly(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100")
    submit_pinned(ledger, "pinned", 30, "h100")
    submit_pinned(ledger, "any", 30, "")
    sent: list[Dispatch] = []

    ran = Counter(run_as(ledger, WORKER, sent, [H100, LANE]) for _ in range(20))

    assert abs(ran["pinned"] - ran["any"]) <= 2


def test_two_classes_of_one_worker_share_it_fairly(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100", "studio")
    submit_pinned(ledger, "one", 30, "h100")
    submit_pinned(ledger, "two", 30, "studio")
    sent: list[Dispatch] = []

    ran = Counter(run_as(ledger, WORKER, sent, [H100, STUDIO, LANE]) for _ in range(20))

    assert abs(ran["one"] - ran["two"]) <= 2


def test_one_owners_pinned_batch_gives_it_no_second_share(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100")
    ledger.batches.submit(Batch(name="a1", owner="ada", worker_class="h100"), make_jobs("a1", 30))
    ledger.batches.submit(Batch(name="a2", owner="ada"), make_jobs("a2", 30))
    ledger.batches.submit(Batch(name="b", owner="bob"), make_jobs("b", 30))
    sent: list[Dispatch] = []

    ran = Counter(run_as(ledger, WORKER, sent, [H100, LANE]) for _ in range(24))

    assert abs(ran["b"] - 12) <= 1
    assert abs(ran["a1"] - ran["a2"]) <= 2


def test_a_pinned_batch_that_is_prioritized_takes_its_past_along_into_no_other_priority(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100")
    for batch, priority in (("old", 5), ("new", 7)):
        ledger.batches.submit(Batch(name=batch, priority=priority, worker_class="h100"), make_jobs(batch, 30))
        if batch == "old":
            for _ in range(15):
                (item,) = ledger.dispatch.pump(LANE, depth=1)
                ledger.attempts.finish(item.job_id, claim(ledger, item).token, make_result())
    sent: list[Dispatch] = []

    ledger.batches.prioritize("old", 7)
    ran = Counter(run_as(ledger, WORKER, sent, [H100, LANE]) for _ in range(10))

    assert abs(ran["old"] - ran["new"]) <= 2


def test_a_lost_worker_of_a_class_serves_it_no_more(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    start(ledger, WORKER, "h100")
    submit_pinned(ledger, "night", 2, "h100")
    monkeypatch.setattr("reelmill_common.ledger.base.LIVE_S", 0.0)

    ledger.dispatch.reap()
    monkeypatch.undo()

    assert ledger.dispatch.pump(LANE) == []


def test_a_retired_worker_of_a_class_serves_it_no_more(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100")
    start_worker(ledger, "gpu1@test")
    submit_pinned(ledger, "night", 1, "h100")

    ledger.workers.retire(WORKER)

    assert ledger.dispatch.pump(LANE) == []


def test_a_worker_that_starts_again_without_a_label_loses_its_lane(ledger: Ledger) -> None:
    start(ledger, WORKER, "studio")
    submit_pinned(ledger, "night", 1, "studio")

    start(ledger, WORKER, "h100")

    assert ledger.dispatch.pump(LANE) == []
    assert ledger.workers.all()[0].lanes == (H100, LANE)


def test_a_lane_that_was_ever_served_is_remembered(ledger: Ledger) -> None:
    start(ledger, WORKER, "h100")
    ledger.workers.retire(WORKER)

    assert H100 in ledger.workers.served()
    assert STUDIO not in ledger.workers.served()


@pytest.mark.parametrize("name", ["H100", "a@b", "a,b", "a:b", "x" * 65])
def test_a_class_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidJob, match="worker class"):
        Batch(name="night", worker_class=name)


@pytest.mark.parametrize("seed", range(6))
def test_no_worker_idles_beside_work_that_it_may_do(ledger: Ledger, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelmill_common.ledger.base.LIVE_S", 600.0)  # no worker beats here
    chance = random.Random(seed)
    names = ["h100", "studio", "fast"]
    crew = {f"gpu{number}@x": chance.sample(names, chance.randint(0, 3)) for number in range(4)}
    for worker, classes in crew.items():
        start(ledger, worker, *classes)
    for number in range(8):
        submit_pinned(ledger, f"b{number}", 8, chance.choice(["", *names]), priority=chance.choice([5, 5, 6]))
    sent: list[Dispatch] = []
    for _ in range(40):
        sent += ledger.dispatch.pump(LANE, depth=2)
        worker = chance.choice(list(crew))
        lanes = [*(f"{LANE}@{name}" for name in crew[worker]), LANE]
        waiting = {line.lane for line in ledger.overview.stats().lines if line.counts[JobState.QUEUED]}
        assert len(sent) <= 2 * len(crew) + 2
        if not any(item.lane in lanes for item in sent):
            assert not waiting & set(lanes), (worker, lanes, waiting, [item.lane for item in sent])
            continue
        run_as(ledger, worker, sent, lanes)
