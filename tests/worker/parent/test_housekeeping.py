"""Housekeeping: the worker's record follows its child, and the lane is consumed only while that child is ready."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from fixtures.farm import specs
from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import Claimed, Ledger, WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.host.slots import machine_of
from reelmill_worker.ipc.child_status import ChildStatus, Verdict, notice_path, post
from reelmill_worker.ipc.progress import Progress, encode, progress_path
from reelmill_worker.parent import housekeeping
from reelmill_worker.parent.fetch_watchdog import FetchWatch
from reelmill_worker.parent.housekeeping import EARLY_DEATHS, Housekeeping

NODE = "cpu0@test"


class Child:
    """A child process as the housekeeping sees it: a process id, and what it posts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid: int | None = 1000

    def says(self, verdict: Verdict, **facts: object) -> None:
        post(self.path, ChildStatus(pid=self.pid or 0, verdict=verdict, **facts))  # type: ignore[arg-type]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger


@pytest.fixture
def child(settings: Settings) -> Child:
    return Child(notice_path(settings.state_dir, NODE, os.getpid()))


@pytest.fixture
def house(settings: Settings, child: Child) -> Housekeeping:
    return Housekeeping(
        settings=settings,
        app=make_app(settings),
        worker=NODE,
        lane="tiny",
        notices=child.path,
        child_pid=lambda: child.pid,
        progress=progress_path(settings.state_dir, NODE, os.getpid()),
    )


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be killed."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def fail_jobs_of_two_batches(ledger: Ledger) -> None:
    """Let the worker fail as many jobs in a row as quarantine it."""
    for batch, count in (("one", 1), ("two", 2)):
        jobs = [RenderJob(batch=batch, row=str(row), spec=spec) for row, spec in enumerate(specs(count))]
        ledger.batches.submit(Batch(name=batch), jobs)
    for _ in range(3):
        item = ledger.dispatch.pump("tiny", depth=1)[0]
        claimed = ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=60)
        assert isinstance(claimed, Claimed)
        ledger.attempts.fail(claimed.job_id, claimed.token, "bad_output", "black", retryable=False)


def state(ledger: Ledger) -> WorkerState | None:
    return next((view.state for view in ledger.workers.all() if view.name == NODE), None)


def claim(ledger: Ledger) -> Claimed:
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])
    (item,) = ledger.dispatch.pump("tiny")
    claimed = ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=60)
    assert isinstance(claimed, Claimed)
    return claimed


def test_a_loading_child_is_on_record_and_its_lane_is_not_consumed(house: Housekeeping, ledger: Ledger) -> None:
    house.look()
    house.round()

    assert state(ledger) is WorkerState.STARTING
    assert not house.consuming


def test_a_child_that_passed_the_gate_makes_the_worker_ready(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("ready", info={"model_hash": "abc"})

    house.look()

    assert state(ledger) is WorkerState.READY
    info = {"pid": child.pid, "machine": machine_of(house.settings.state_dir), "model_hash": "abc"}
    assert ledger.workers.all()[0].info.record() == info
    assert house.consuming


def test_the_last_word_of_a_dead_child_is_not_heard(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("ready")
    child.pid += 1

    house.look()

    assert state(ledger) is WorkerState.STARTING
    assert not house.consuming


def test_a_worker_that_is_paused_fetches_nothing_until_it_is_resumed(
    house: Housekeeping, child: Child, ledger: Ledger
) -> None:
    child.says("ready")
    house.look()
    ledger.workers.pause(NODE)

    house.round()
    house.look()
    paused = (house.consuming, house.standing)
    ledger.workers.resume(NODE)
    house.round()
    house.look()

    assert paused == (False, WorkerState.PAUSED)
    assert (house.consuming, house.standing) == (True, WorkerState.READY)


def test_a_dead_childs_jobs_are_taken_back_at_once_and_the_lane_rests(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.says("ready")
    house.look()
    job = claim(ledger).job_id

    child.pid += 1
    house.look()

    assert ledger.jobs.get(job).state is JobState.QUEUED
    assert state(ledger) is WorkerState.STARTING
    assert not house.consuming


def test_an_unfit_child_quarantines_the_worker_for_good(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("unfit", reason="invalid_model: a tensor is missing")

    with capture_logs() as logs:
        house.look()
    house.stop()

    assert house.unfit == "invalid_model: a tensor is missing"
    assert state(ledger) is WorkerState.QUARANTINED
    assert ledger.workers.all()[0].reason == house.unfit
    assert [entry["event"] for entry in logs] == ["worker.quarantined"]


def test_children_that_keep_dying_while_they_load_quarantine_the_worker(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    for _ in range(EARLY_DEATHS + 1):
        house.look()
        child.pid += 1

    assert "died 3 times" in house.unfit
    assert state(ledger) is WorkerState.QUARANTINED


def test_children_that_end_while_they_wait_for_a_server_are_nobodys_fault(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    for _ in range(EARLY_DEATHS + 1):
        child.says("loading", info={"trouble": "store: no answer"})
        house.look()
        child.pid += 1

    assert house.unfit == ""
    assert ledger.workers.all()[0].trouble == "store: no answer"


def test_a_quarantine_from_outside_stops_the_worker(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("ready")
    house.look()

    ledger.workers.quarantine(NODE, "its clips are green")
    house.round()

    assert house.unfit == "its clips are green"
    assert not house.consuming


def test_a_worker_that_the_ledger_forgot_enters_itself_again(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("ready")
    house.look()
    ledger.workers.retire(NODE)

    house.round()
    house.look()

    assert state(ledger) is WorkerState.READY
    assert house.consuming


def test_new_facts_of_a_ready_child_reach_the_record(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.says("ready")
    house.look()

    child.says("ready", info={"trouble": "store: bucket is missing"})
    house.look()

    assert ledger.workers.all()[0].trouble == "store: bucket is missing"


def test_a_draining_worker_says_so_and_leaves_no_record_when_it_ends(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.says("ready")
    house.look()

    house.drain()
    house.round()
    draining = state(ledger)
    house.stop()

    assert draining is WorkerState.DRAINING
    assert state(ledger) is None


def test_a_round_takes_back_expired_leases_and_sends_what_is_next(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.says("ready")
    house.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])
    (item,) = ledger.dispatch.pump("tiny")
    ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=0.1)

    def dispatched_again() -> bool:
        house.round()
        view = ledger.jobs.get(item.job_id)
        return view.state is JobState.DISPATCHED and view.generation > item.generation

    wait_for(dispatched_again, what="another message")


def test_the_thread_outlives_a_server_that_goes_and_comes_back(
    settings: Settings, own_valkey: ValkeyServer, child: Child
) -> None:
    house = Housekeeping(
        settings=dataclasses.replace(settings, redis_url=own_valkey.url),
        app=make_app(settings),
        worker=NODE,
        lane="tiny",
        notices=child.path,
        child_pid=lambda: child.pid,
    )
    child.says("ready")

    with capture_logs() as logs:
        house.start()
        wait_for(lambda: house.consuming, what="ready")
        own_valkey.kill()
        wait_for(lambda: any(entry["event"] == "tick.failed" for entry in logs), what="a failed tick")
        server = ValkeyServer.start(own_valkey.folder)
        try:
            with Ledger.connect(house.settings) as ledger:
                wait_for(lambda: (view := ledger.workers.all()) and view[0].seen_s < 1, what="a beat")
            wait_for(lambda: any(entry["event"] == "tick.recovered" for entry in logs), what="its end")
            house.stop()
        finally:
            server.stop()

    assert sum(entry["event"] == "tick.failed" for entry in logs) <= 2  # once per trouble, not once per tick


def test_a_tick_that_fails_in_half_of_what_it_does_says_so_once_and_once_that_it_is_over(
    settings: Settings, own_valkey: ValkeyServer, child: Child
) -> None:
    house = Housekeeping(
        settings=dataclasses.replace(settings, redis_url=own_valkey.url),
        app=make_app(settings),
        worker=NODE,
        lane="tiny",
        notices=child.path,
        child_pid=lambda: child.pid,
    )
    child.says("ready")

    with capture_logs() as logs, redis.Redis.from_url(own_valkey.url) as admin:
        house.start()
        wait_for(lambda: house.consuming, what="ready")
        admin.config_set("maxmemory", "1")  # looks at the child still succeed, rounds do not
        calls = admin.info("stats")["total_commands_processed"]
        wait_for(lambda: admin.info("stats")["total_commands_processed"] > calls + 60, what="some rounds")
        admin.config_set("maxmemory", "0")
        wait_for(lambda: any(entry["event"] == "tick.recovered" for entry in logs), what="its end")
        house.stop()

    told = [entry["event"] for entry in logs if entry["event"].startswith("tick.")]
    assert told == ["tick.failed", "tick.recovered"]


def test_a_worker_that_failed_job_after_job_stays_and_starts_a_new_child_when_it_is_forgiven(
    house: Housekeeping, ledger: Ledger, child: Child, process: subprocess.Popen[bytes]
) -> None:
    child.pid = process.pid
    child.says("ready")
    house.look()
    fail_jobs_of_two_batches(ledger)

    house.round()
    house.look()
    suspended = (house.unfit, house.consuming, house.standing)
    ledger.workers.forgive(NODE)
    house.round()

    assert suspended == ("", False, WorkerState.QUARANTINED)
    assert process.wait(60) == -signal.SIGKILL
    child.pid += 1
    house.look()
    assert state(ledger) is WorkerState.STARTING  # nothing is rendered before the next child has passed its gate
    child.says("ready")
    house.look()
    assert (state(ledger), house.consuming) == (WorkerState.READY, True)


def test_a_child_without_progress_is_killed_and_its_job_says_why(
    house: Housekeeping, ledger: Ledger, child: Child, process: subprocess.Popen[bytes], settings: Settings
) -> None:
    assert house.progress is not None
    child.pid = process.pid
    child.says("ready")
    house.look()
    job = claim(ledger).job_id
    long_ago = time.monotonic() - settings.stall_floor_s - 1
    progress = Progress(pid=child.pid, stage="denoise 2/3", since=long_ago, mean_s=0.5)
    house.progress.write_bytes(encode(progress))

    house.look()
    assert process.wait(60) == -signal.SIGKILL
    child.pid += 1
    house.look()

    assert (ledger.jobs.get(job).error or {})["code"] == "stalled"
    assert ledger.jobs.get(job).state is JobState.QUEUED
    (event,) = [event for event in ledger.events.read(after="0") if event.name == "worker.stalled"]
    assert event.fields["action"] == "kill"
    assert event.fields["what"].startswith("no progress at denoise 2/3 for 3")


def test_a_worker_that_fetches_nothing_while_messages_wait_subscribes_anew_and_then_starts_anew(
    house: Housekeeping, ledger: Ledger, child: Child
) -> None:
    house._fetching = FetchWatch(patience_s=0.2)
    house.idle = lambda: True
    child.says("ready")
    house.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])

    def asked(what: str) -> bool:
        house.round()
        return bool(getattr(house, what))

    wait_for(lambda: asked("resubscribe"), what="a new subscription")
    assert not house.restart
    wait_for(lambda: asked("restart"), what="a new start")

    actions = [event.fields["action"] for event in ledger.events.read(after="0") if event.name == "worker.stalled"]
    assert actions == ["resubscribe", "restart"]


def test_a_parent_whose_pool_stays_empty_ends_and_is_started_again(
    house: Housekeeping, ledger: Ledger, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHILDLESS_S", 0.2)
    child.says("ready")
    house.look()
    was_ready = house.consuming

    child.pid = None
    house.look()
    for_a_moment = house.restart
    wait_for(lambda: house.look() or house.restart, what="the end of the parent")

    assert (was_ready, for_a_moment, house.consuming) == (True, False, False)
    assert house.standing is WorkerState.STARTING


def test_a_worker_with_a_message_in_hand_is_no_stalled_one(house: Housekeeping, ledger: Ledger, child: Child) -> None:
    house._fetching = FetchWatch(patience_s=0.0001)
    house.idle = lambda: False
    child.says("ready")
    house.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])

    house.round()
    house.round()

    assert (house.resubscribe, house.restart) == (False, False)
