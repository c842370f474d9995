"""Housekeeping: the worker's record follows its child, and the lane is consumed only while that child is ready."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis
from structlog.testing import capture_logs

from fixtures.child import NODE, Child
from fixtures.farm import specs
from fixtures.valkey import wait_for
from reelmill_common.broker import make_app
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import Claimed, Ledger, WorkerInfo, WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.host.slots import machine_of
from reelmill_worker.ipc.progress import Progress, encode
from reelmill_worker.parent import housekeeping as module
from reelmill_worker.parent.housekeeping import EARLY_DEATHS, Housekeeping


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger


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


def recorded(ledger: Ledger) -> WorkerState | None:
    return next((view.state for view in ledger.workers.all() if view.name == NODE), None)


def claim(ledger: Ledger) -> Claimed:
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])
    (item,) = ledger.dispatch.pump("tiny")
    claimed = ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=60)
    assert isinstance(claimed, Claimed)
    return claimed


def test_a_loading_child_is_on_record_and_its_lane_is_not_consumed(housekeeping: Housekeeping, ledger: Ledger) -> None:
    housekeeping.look()
    housekeeping.round()

    assert recorded(ledger) is WorkerState.STARTING
    assert not housekeeping.consuming


def test_a_child_that_passed_the_gate_makes_the_worker_ready(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("ready", info=WorkerInfo(model_hash="abc"))

    housekeeping.look()

    assert recorded(ledger) is WorkerState.READY
    info = WorkerInfo(pid=child.pid, machine=machine_of(housekeeping.settings.state_dir), model_hash="abc")
    assert ledger.workers.all()[0].info == info
    assert housekeeping.consuming


def test_the_last_status_of_a_dead_child_is_ignored(housekeeping: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.reports("ready")
    child.pid += 1

    housekeeping.look()

    assert recorded(ledger) is WorkerState.STARTING
    assert not housekeeping.consuming


def test_a_worker_that_is_paused_fetches_nothing_until_it_is_resumed(
    housekeeping: Housekeeping, child: Child, ledger: Ledger
) -> None:
    child.reports("ready")
    housekeeping.look()
    ledger.workers.pause(NODE)

    housekeeping.round()
    housekeeping.look()
    paused = (housekeeping.consuming, housekeeping.state)
    ledger.workers.resume(NODE)
    housekeeping.round()
    housekeeping.look()

    assert paused == (False, WorkerState.PAUSED)
    assert (housekeeping.consuming, housekeeping.state) == (True, WorkerState.READY)


def test_a_dead_childs_jobs_are_taken_back_at_once_and_the_lane_rests(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("ready")
    housekeeping.look()
    job = claim(ledger).job_id

    child.pid += 1
    housekeeping.look()

    assert ledger.jobs.get(job).state is JobState.QUEUED
    assert recorded(ledger) is WorkerState.STARTING
    assert not housekeeping.consuming


def test_an_unfit_child_quarantines_the_worker_for_good(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("unfit", reason="invalid_model: a tensor is missing")

    with capture_logs() as logs:
        housekeeping.look()
    housekeeping.stop()

    assert housekeeping.unfit == "invalid_model: a tensor is missing"
    assert recorded(ledger) is WorkerState.QUARANTINED
    assert ledger.workers.all()[0].reason == housekeeping.unfit
    assert [entry["event"] for entry in logs] == ["worker.quarantined"]


def test_children_that_keep_dying_while_they_load_quarantine_the_worker(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    for _ in range(EARLY_DEATHS + 1):
        housekeeping.look()
        child.pid += 1

    assert "died 3 times" in housekeeping.unfit
    assert recorded(ledger) is WorkerState.QUARANTINED


def test_children_that_end_while_they_wait_for_a_server_do_not_count_as_early_deaths(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    for _ in range(EARLY_DEATHS + 1):
        child.reports("loading", info=WorkerInfo(trouble="store: no answer"))
        housekeeping.look()
        child.pid += 1

    assert housekeeping.unfit == ""
    assert ledger.workers.all()[0].info.trouble == "store: no answer"


def test_a_quarantine_from_outside_stops_the_worker(housekeeping: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.reports("ready")
    housekeeping.look()

    ledger.workers.quarantine(NODE, "its clips are green")
    housekeeping.round()

    assert housekeeping.unfit == "its clips are green"
    assert not housekeeping.consuming


def test_a_worker_that_the_ledger_forgot_enters_itself_again(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("ready")
    housekeeping.look()
    ledger.workers.retire(NODE)

    housekeeping.round()
    housekeeping.look()

    assert recorded(ledger) is WorkerState.READY
    assert housekeeping.consuming


def test_new_facts_of_a_ready_child_reach_the_record(housekeeping: Housekeeping, ledger: Ledger, child: Child) -> None:
    child.reports("ready")
    housekeeping.look()

    child.reports("ready", info=WorkerInfo(trouble="store: bucket is missing"))
    housekeeping.look()

    assert ledger.workers.all()[0].trouble == "store: bucket is missing"


def test_a_draining_worker_says_so_and_leaves_no_record_when_it_ends(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("ready")
    housekeeping.look()

    housekeeping.drain()
    housekeeping.look()
    draining = recorded(ledger)
    housekeeping.stop()

    assert draining is WorkerState.DRAINING
    assert recorded(ledger) is None


def test_a_round_takes_back_expired_leases_and_sends_what_is_next(
    housekeeping: Housekeeping, ledger: Ledger, child: Child
) -> None:
    child.reports("ready")
    housekeeping.look()
    ledger.batches.submit(Batch(name="night"), [RenderJob(batch="night", row="0", spec=specs(1)[0])])
    (item,) = ledger.dispatch.pump("tiny")
    ledger.attempts.claim(item.job_id, item.generation, NODE, lease_s=0.1)

    def dispatched_again() -> bool:
        housekeeping.round()
        view = ledger.jobs.get(item.job_id)
        return view.state is JobState.DISPATCHED and view.generation > item.generation

    wait_for(dispatched_again, what="another message")


def test_the_thread_outlives_a_server_that_goes_and_comes_back(
    settings: Settings, own_valkey: ValkeyServer, child: Child
) -> None:
    housekeeping = Housekeeping(
        settings=dataclasses.replace(settings, redis_url=own_valkey.url),
        app=make_app(settings),
        worker=NODE,
        profile="tiny",
        status_file=child.path,
        child_pid=lambda: child.pid,
    )
    child.reports("ready")

    with capture_logs() as logs:
        housekeeping.start()
        wait_for(lambda: housekeeping.consuming, what="ready")
        own_valkey.kill()
        wait_for(lambda: any(entry["event"] == "tick.failed" for entry in logs), what="a failed tick")
        server = ValkeyServer.start(own_valkey.folder)
        try:
            with Ledger.connect(housekeeping.settings) as ledger:
                wait_for(lambda: (view := ledger.workers.all()) and view[0].seen_s < 1, what="a beat")
            wait_for(lambda: any(entry["event"] == "tick.recovered" for entry in logs), what="its end")
            housekeeping.stop()
        finally:
            server.stop()

    assert sum(entry["event"] == "tick.failed" for entry in logs) <= 2  # once per error, not once per tick


def test_a_tick_that_keeps_failing_halfway_is_logged_once_and_so_is_its_recovery(
    settings: Settings, own_valkey: ValkeyServer, child: Child
) -> None:
    housekeeping = Housekeeping(
        settings=dataclasses.replace(settings, redis_url=own_valkey.url),
        app=make_app(settings),
        worker=NODE,
        profile="tiny",
        status_file=child.path,
        child_pid=lambda: child.pid,
    )
    child.reports("ready")

    with capture_logs() as logs, redis.Redis.from_url(own_valkey.url) as admin:
        housekeeping.start()
        wait_for(lambda: housekeeping.consuming, what="ready")
        admin.config_set("maxmemory", "1")  # looks at the child still succeed, rounds do not
        calls = admin.info("stats")["total_commands_processed"]
        wait_for(lambda: admin.info("stats")["total_commands_processed"] > calls + 60, what="some rounds")
        admin.config_set("maxmemory", "0")
        wait_for(lambda: any(entry["event"] == "tick.recovered" for entry in logs), what="its end")
        housekeeping.stop()

    ticks = [entry["event"] for entry in logs if entry["event"].startswith("tick.")]
    assert ticks == ["tick.failed", "tick.recovered"]


def test_a_worker_that_failed_job_after_job_stays_and_starts_a_new_child_when_it_is_forgiven(
    housekeeping: Housekeeping, ledger: Ledger, child: Child, process: subprocess.Popen[bytes]
) -> None:
    child.pid = process.pid
    child.reports("ready")
    housekeeping.look()
    fail_jobs_of_two_batches(ledger)

    housekeeping.round()
    housekeeping.look()
    suspended = (housekeeping.unfit, housekeeping.consuming, housekeeping.state)
    ledger.workers.forgive(NODE)
    housekeeping.round()

    assert suspended == ("", False, WorkerState.QUARANTINED)
    assert process.wait(60) == -signal.SIGKILL
    child.pid += 1
    housekeeping.look()
    assert recorded(ledger) is WorkerState.STARTING  # nothing is rendered before the next child has passed its gate
    child.reports("ready")
    housekeeping.look()
    assert (recorded(ledger), housekeeping.consuming) == (WorkerState.READY, True)


def test_a_child_without_progress_is_killed_and_its_job_says_why(
    housekeeping: Housekeeping, ledger: Ledger, child: Child, process: subprocess.Popen[bytes], settings: Settings
) -> None:
    assert housekeeping.progress is not None
    child.pid = process.pid
    child.reports("ready")
    housekeeping.look()
    job = claim(ledger).job_id
    long_ago = time.monotonic() - settings.stall_floor_s - 1
    progress = Progress(pid=child.pid, stage="denoise 2/3", since=long_ago, mean_s=0.5)
    housekeeping.progress.write_bytes(encode(progress))

    housekeeping.look()
    assert process.wait(60) == -signal.SIGKILL
    child.pid += 1
    housekeeping.look()

    assert (ledger.jobs.get(job).error or {})["code"] == "stalled"
    assert ledger.jobs.get(job).state is JobState.QUEUED
    (event,) = [event for event in ledger.events.read(after="0") if event.name == "worker.stalled"]
    assert event.fields["action"] == "kill"
    assert event.fields["what"].startswith("no progress at denoise 2/3 for 3")


def test_a_parent_whose_pool_stays_empty_ends_and_is_started_again(
    housekeeping: Housekeeping, ledger: Ledger, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHILDLESS_S", 0.2)
    child.reports("ready")
    housekeeping.look()
    was_ready = housekeeping.consuming

    child.pid = None
    housekeeping.look()
    at_first = housekeeping.restart
    wait_for(lambda: housekeeping.look() or housekeeping.restart, what="the end of the parent")

    assert (was_ready, at_first, housekeeping.consuming) == (True, False, False)
    assert housekeeping.state is WorkerState.STARTING
