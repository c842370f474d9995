from __future__ import annotations

import pytest
import redis

from common.ledger_steps import LANE, WORKER, begin, make_result, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.errors import NotFound, StillThere
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, Orders, Refused, WorkerInfo, WorkerState, WorkerView, base
from reelmill_common.ledger.keys import Keys
from reelmill_common.settings import Settings


def state_of(ledger: Ledger, worker: str = WORKER) -> WorkerState:
    view = ledger.workers.beat(worker)
    assert view is not None
    return view.state


def test_a_worker_starts_and_becomes_ready(ledger: Ledger) -> None:
    ledger.workers.register(WORKER, LANE, WorkerInfo(pid=7))
    assert state_of(ledger) is WorkerState.STARTING

    ledger.workers.ready(WORKER, WorkerInfo(pid=8, gpu_arch="sm90"))

    (view,) = ledger.workers.all()
    assert (view.name, view.lane, view.state) == (WORKER, LANE, WorkerState.READY)
    assert (view.info, view.reason, view.jobs) == (WorkerInfo(pid=8, gpu_arch="sm90"), "", ())
    assert view.seen_s < 60


def test_a_worker_is_seen_with_the_jobs_that_it_holds(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    start_worker(ledger)
    first, second = begin(ledger), begin(ledger)

    assert [view.jobs for view in ledger.workers.all()] == [tuple(sorted([first.job_id, second.job_id]))]
    ledger.attempts.finish(first.job_id, first.token, make_result())
    assert [view.jobs for view in ledger.workers.all()] == [(second.job_id,)]


def test_workers_are_listed_by_name(ledger: Ledger) -> None:
    for name in ("gpu1@b", "gpu0@b", "gpu0@a"):
        ledger.workers.register(name, LANE, WorkerInfo())

    assert [view.name for view in ledger.workers.all()] == ["gpu0@a", "gpu0@b", "gpu1@b"]


def test_a_worker_that_starts_anew_gives_back_the_jobs_of_its_earlier_life_at_once(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    claimed = begin(ledger)

    ledger.workers.register(WORKER, LANE, WorkerInfo())

    view = ledger.jobs.get(job_id)
    assert (view.state, (view.error or {})["code"]) == (JobState.QUEUED, "worker_lost")
    assert ledger.attempts.renew(job_id, claimed.token, lease_s=60) is Orders.LOST


def test_a_worker_that_is_registered_anew_must_become_ready_again(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)

    ledger.workers.register(WORKER, LANE, WorkerInfo())

    assert state_of(ledger) is WorkerState.STARTING
    assert ledger.dispatch.pump(LANE) == []


def test_a_worker_can_change_its_lane(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)

    start_worker(ledger, WORKER, "fastwan-qad-fp8")

    assert ledger.dispatch.pump(LANE) == []
    assert [view.lane for view in ledger.workers.all()] == ["fastwan-qad-fp8"]


def test_a_quarantine_lasts_through_restarts_until_it_is_lifted(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)
    ledger.workers.quarantine(WORKER, "the canary came out black")

    for again in (
        lambda: start_worker(ledger),
        lambda: ledger.workers.drain(WORKER),
        lambda: ledger.workers.retire(WORKER),
    ):
        again()
        assert ledger.workers.all()[0].state is WorkerState.QUARANTINED
        assert ledger.workers.all()[0].reason == "the canary came out black"
        assert ledger.dispatch.pump(LANE) == []
    ledger.workers.forgive(WORKER)

    assert (state_of(ledger), ledger.workers.all()[0].reason) == (WorkerState.STARTING, "")
    start_worker(ledger)
    assert len(ledger.dispatch.pump(LANE)) == 1


def test_a_quarantined_worker_may_end_what_it_has(ledger: Ledger) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)
    claimed = begin(ledger)
    ledger.workers.quarantine(WORKER, "three failures in a row")

    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def test_a_draining_worker_ends_what_it_has_and_takes_no_more(ledger: Ledger) -> None:
    submit(ledger, "night", 2)
    start_worker(ledger)
    claimed = begin(ledger)

    ledger.workers.drain(WORKER)
    ledger.workers.ready(WORKER, WorkerInfo())  # a child that comes up late must not undo it

    assert state_of(ledger) is WorkerState.DRAINING
    assert ledger.dispatch.pump(LANE) == []
    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())


def test_a_drain_with_a_limit_gives_back_what_it_will_not_publish(ledger: Ledger) -> None:
    slow, storing = submit(ledger, "night", 2)
    start_worker(ledger)
    claimed = [begin(ledger), begin(ledger)]
    by_id = {item.job_id: item for item in claimed}
    ledger.attempts.stage(storing, by_id[storing].token, "upload", lease_s=60)

    enough = ledger.workers.drain(WORKER, left_s=60)  # an unmeasured clip is taken for 30 s
    too_little = ledger.workers.drain(WORKER, left_s=10)

    assert (enough, too_little) == (0, 1)
    assert ledger.jobs.get(slow).state is JobState.QUEUED
    assert not ledger.attempts.finish(slow, by_id[slow].token, make_result())
    assert ledger.attempts.finish(storing, by_id[storing].token, make_result())
    with pytest.raises(NotFound, match="no worker 'gpu9@x' is registered"):
        ledger.workers.drain("gpu9@x", left_s=1)


def test_a_worker_that_retires_gives_back_what_it_holds_uncounted(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    begin(ledger)

    ledger.workers.retire(WORKER)

    assert ledger.workers.all() == []
    assert (ledger.jobs.get(job_id).state, ledger.jobs.get(job_id).error) == (JobState.QUEUED, None)
    assert ledger.workers.beat(WORKER) is None


def test_retiring_twice_is_no_error(ledger: Ledger) -> None:
    start_worker(ledger)

    ledger.workers.retire(WORKER)
    ledger.workers.retire(WORKER)

    assert [event.name for event in ledger.events.read(after="0")].count("worker.retired") == 1


def test_a_silent_worker_is_called_lost_once_and_comes_back_with_a_beat(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(ledger, "night", 1)
    start_worker(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(base, "LIVE_S", 0.0)
        ledger.dispatch.reap()
        ledger.dispatch.reap()
    assert ledger.dispatch.pump(LANE) == []

    assert state_of(ledger) is WorkerState.READY

    assert len(ledger.dispatch.pump(LANE)) == 1
    names = [event.name for event in ledger.events.read(after="0")]
    assert (names.count("worker.lost"), names.count("worker.returned")) == (1, 1)


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(lambda ledger: ledger.workers.ready("gpu9@x", WorkerInfo()), id="ready"),
        pytest.param(lambda ledger: ledger.workers.quarantine("gpu9@x", "why"), id="quarantine"),
        pytest.param(lambda ledger: ledger.workers.forgive("gpu9@x"), id="forgive"),
        pytest.param(lambda ledger: ledger.workers.drain("gpu9@x"), id="draining"),
    ],
)
def test_a_worker_that_is_not_registered_is_named(ledger: Ledger, report) -> None:
    with pytest.raises(NotFound, match="no worker 'gpu9@x' is registered"):
        report(ledger)
    assert ledger.workers.all() == []


def test_a_beat_of_an_unknown_worker_is_answered_with_none(ledger: Ledger) -> None:
    assert ledger.workers.beat("gpu9@x") is None


def test_a_view_says_all_of_a_worker(ledger: Ledger) -> None:
    ledger.workers.register("gpu0@ünï", LANE, WorkerInfo(plan={"linears": "fp8"}))

    view = ledger.workers.beat("gpu0@ünï")

    assert view == WorkerView(
        name="gpu0@ünï",
        lane=LANE,
        state=WorkerState.STARTING,
        info=WorkerInfo(plan={"linears": "fp8"}),
        reason="",
        jobs=(),
        seen_s=view.seen_s if view else 0,
        lanes=(LANE,),
    )


# -- paused, gone, forgotten -------------------------------------------------------------------------------------


def test_a_paused_worker_gets_nothing_and_stays_paused_when_it_is_started_anew(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)
    claimed = begin(ledger)

    ledger.workers.pause(WORKER)

    assert ledger.dispatch.pump(LANE) == []
    assert ledger.attempts.finish(claimed.job_id, claimed.token, make_result())  # what it has goes on
    assert state_of(ledger) is WorkerState.PAUSED
    ledger.workers.retire(WORKER)
    start_worker(ledger)
    assert state_of(ledger) is WorkerState.PAUSED
    ledger.workers.resume(WORKER)
    assert state_of(ledger) is WorkerState.READY
    assert len(ledger.dispatch.pump(LANE)) == 2
    names = [event.name for event in ledger.events.read(after="0")]
    assert (names.count("worker.paused"), names.count("worker.resumed")) == (1, 1)


def test_a_message_that_a_paused_worker_had_fetched_goes_to_another(ledger: Ledger) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    (item,) = ledger.dispatch.pump(LANE)
    ledger.workers.pause(WORKER)

    answer = ledger.attempts.claim(item.job_id, item.generation, WORKER, lease_s=600)
    start_worker(ledger, "gpu1@test")

    assert answer is Refused.UNFIT
    assert [again.job_id for again in ledger.dispatch.pump(LANE)] == [job_id]


def test_a_quarantine_outlasts_a_pause_and_a_pause_a_quarantine(ledger: Ledger) -> None:
    start_worker(ledger)
    ledger.workers.quarantine(WORKER, "black")
    ledger.workers.pause(WORKER)
    quarantined = state_of(ledger)

    ledger.workers.forgive(WORKER)
    start_worker(ledger)

    assert (quarantined, state_of(ledger)) == (WorkerState.QUARANTINED, WorkerState.PAUSED)


def test_one_that_was_leaving_when_it_fell_silent_is_gone_and_not_dead(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(ledger, "gpu0@spot")
    start_worker(ledger, "gpu0@crashed")
    ledger.workers.drain("gpu0@spot")
    with monkeypatch.context() as patch:
        patch.setattr(base, "LIVE_S", 0.0)
        states = {worker.name: worker.state for worker in ledger.workers.all()}
        ledger.dispatch.reap()
        after = {worker.name: worker.state for worker in ledger.workers.all()}

    assert states == {"gpu0@spot": WorkerState.GONE, "gpu0@crashed": WorkerState.DEAD}
    assert after == {"gpu0@crashed": WorkerState.DEAD}  # the other has left, as if it had said so
    events = [(event.name, event.worker) for event in ledger.events.read(after="0")]
    assert ("worker.lost", "gpu0@crashed") in events
    assert ("worker.retired", "gpu0@spot") in events
    assert ("worker.lost", "gpu0@spot") not in events


def test_one_that_was_leaving_with_a_clip_is_kept_until_the_clip_is_taken_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = submit(ledger, "night", 1)
    start_worker(ledger)
    begin(ledger, lease_s=0.05)
    ledger.workers.drain(WORKER)
    monkeypatch.setattr(base, "LIVE_S", 0.0)

    wait_for(lambda: ledger.dispatch.reap() or not ledger.workers.all())
    wait_for(lambda: ledger.dispatch.reap() >= 0 and not ledger.workers.all(), what="it is forgotten")

    assert ledger.jobs.get(job_id).state is JobState.QUEUED


def test_all_that_is_known_of_a_worker_is_forgotten_and_nothing_of_one_that_lives(
    ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(ledger, "night", 1)
    ledger.workers.take_name(WORKER, "machine")
    start_worker(ledger)
    claimed = begin(ledger)
    ledger.workers.pause(WORKER)
    with pytest.raises(StillThere, match="lives; stop it first"):
        ledger.workers.forget(WORKER)
    monkeypatch.setattr(base, "LIVE_S", 0.0)
    with pytest.raises(StillThere, match="clips are under leases"):
        ledger.workers.forget(WORKER)
    ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=True)  # which leaves a streak

    ledger.workers.forget(WORKER)

    assert ledger.workers.all() == []
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as server:
        prefix = Keys(settings.farm).prefix
        keys = [key for key in server.scan_iter(f"{prefix}*") if WORKER in key]
        sets = [name for name in ("workers", "paused_workers") if server.sismember(prefix + name, WORKER)]
        ranked = [name for name in ("beats", f"live:{LANE}") if server.zscore(prefix + name, WORKER) is not None]
    assert (keys, sets, ranked) == ([], [], [])
    with pytest.raises(NotFound, match="no worker"):
        ledger.workers.forget(WORKER)


def test_one_that_stays_silent_is_forgotten_unless_a_person_has_to_look_at_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gpu0@gone", "gpu0@paused", "gpu0@broken", "gpu0@lives"):
        start_worker(ledger, name)
    ledger.workers.pause("gpu0@paused")
    ledger.workers.quarantine("gpu0@broken", "wrong pictures")
    monkeypatch.setattr(base, "LIVE_S", 0.0)
    ledger.dispatch.reap()
    assert len(ledger.workers.all()) == 4, "by default for ever"
    monkeypatch.setattr(base, "LIVE_S", 600.0)
    wait_for(lambda: ledger.workers.all()[0].seen_s > 0.05)
    ledger.workers.beat("gpu0@lives")

    ledger.dispatch.reap(forget_after_s=0.05)

    assert {view.name for view in ledger.workers.all()} == {"gpu0@paused", "gpu0@broken", "gpu0@lives"}
    assert ("worker.pruned", "gpu0@gone") in [(event.name, event.worker) for event in ledger.events.read(after="0")]
