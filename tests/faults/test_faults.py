"""Nothing is lost and nothing is published twice, whatever dies: real workers, a real server, faults in mid-batch.

The renderer of fixed duration stands in for the model: the farm around it is what these tests are about. The same
faults under the real model are in `tests/acceptance`.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from fixtures.farm import Farm, specs
from fixtures.tcp_proxy import tcp_proxy
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import WorkerState, WorkerView
from reelmill_producer.embedded.processes import start_of
from reelmill_producer.embedded.valkey import ValkeyServer
from reelmill_worker.child.renderer import KILL_MARK

pytestmark = pytest.mark.services

T = TypeVar("T")

CLIP_S = 0.2
RENDERER = f"fixed:{CLIP_S}"
CHILD_RECOVERY_S = 10.0
"""Most seconds from the death of a child to its successor's first clip (issue 3, on a loaded two-core machine)."""


def kill_when(condition: Callable[[], T | None], pids: Sequence[int], *, what: str) -> T:
    """Kill processes when a condition holds. They are stopped during the test, so it still holds when they die."""

    def caught() -> T | None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        found = condition()
        for pid in pids:
            os.kill(pid, signal.SIGKILL if found else signal.SIGCONT)
        return found

    return wait_for(caught, what=what)


def test_a_child_killed_in_mid_batch_costs_one_attempt_and_is_replaced_within_ten_seconds(
    make_farm: Callable[..., Farm],
) -> None:
    farm = make_farm(renderer=RENDERER)
    worker = farm.start()
    jobs = farm.submit("night", specs(30))
    farm.wait_count("night", JobState.SUCCEEDED, 5)
    victim = farm.child_pid(worker)

    os.kill(victim, signal.SIGKILL)
    died = time.monotonic()
    stored = farm.ledger.batches.get("night").counts[JobState.SUCCEEDED]
    farm.wait_count("night", JobState.SUCCEEDED, stored + 1)
    recovery_s = time.monotonic() - died
    view = farm.wait_done("night")

    assert recovery_s <= CHILD_RECOVERY_S
    assert view.counts[JobState.SUCCEEDED] == 30
    assert len(jobs) <= farm.attempts(jobs) <= len(jobs) + 3  # one on the GPU, at most two on their way to the store
    assert farm.child_pid(worker) != victim
    farm.assert_stored_once("night", jobs)


def test_a_parent_killed_in_mid_batch_takes_its_child_with_it_and_is_started_again(
    make_farm: Callable[..., Farm],
) -> None:
    farm = make_farm(renderer=RENDERER)
    worker = farm.start()
    jobs = farm.submit("night", specs(20))
    farm.wait_count("night", JobState.SUCCEEDED, 5)
    child, parent = farm.child_pid(worker), worker.parent_pid

    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not start_of(child), what="the child's end")
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 20
    assert worker.parent_pid != parent
    farm.assert_stored_once("night", jobs)


def test_a_host_that_vanishes_leaves_its_jobs_to_the_others_after_its_lease(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.7", lease_s=3.0)
    lost, other = farm.start_all(2)
    jobs = farm.submit("night", specs(12))
    farm.wait_count("night", JobState.SUCCEEDED, 2)

    def busy() -> WorkerView | None:
        view = farm.worker(lost.node)
        return view if view and view.jobs else None

    taken = kill_when(busy, [lost.process.pid, lost.parent_pid, farm.child_pid(lost)], what="a job in its hands")
    died = time.monotonic()
    wait_for(lambda: not busy(), what="its leases' end")
    recovery_s = time.monotonic() - died
    view = farm.wait_done("night")

    assert recovery_s <= farm.settings.lease_s + 5
    assert view.counts[JobState.SUCCEEDED] == 12
    assert {farm.ledger.jobs.get(job).worker for job in taken.jobs} == {other.node}
    farm.assert_stored_once("night", jobs)


def test_a_killed_server_that_comes_back_costs_no_clip(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer
) -> None:
    farm = make_farm(renderer=RENDERER, redis_url=own_valkey.url)
    farm.start()
    jobs = farm.submit("night", specs(40))
    farm.wait_count("night", JobState.SUCCEEDED, 5)

    own_valkey.kill()
    successor = ValkeyServer.start(own_valkey.folder)
    try:
        back = time.monotonic()
        stored = farm.ledger.batches.get("night").counts[JobState.SUCCEEDED]
        farm.wait_count("night", JobState.SUCCEEDED, stored + 4)
        recovery_s = time.monotonic() - back
        view = farm.wait_done("night")

        assert view.counts[JobState.SUCCEEDED] == 40
        assert recovery_s <= 10
        farm.assert_stored_once("night", jobs)
    finally:
        for worker in farm.workers:
            worker.kill()
        successor.stop()


def test_reset_connections_render_nothing_twice(make_farm: Callable[..., Farm], valkey_server: ValkeyServer) -> None:
    with tcp_proxy(valkey_server.port) as proxy:
        url = valkey_server.url.replace(f":{valkey_server.port}/", f":{proxy.port}/")
        farm = make_farm(renderer=RENDERER, redis_url=url, lease_s=20.0)  # more than two slow workers may sleep
        farm.start_all(2)
        jobs = farm.submit("night", specs(40))
        cuts = 0
        for count in (5, 12, 20):
            farm.wait_count("night", JobState.SUCCEEDED, count)
            cuts += proxy.reset()
        view = farm.wait_done("night")

        assert cuts > 6
        assert view.counts[JobState.SUCCEEDED] == 40
        assert farm.attempts(jobs) <= len(jobs) + 3  # a claim whose answer was cut off runs out, once per cut at most
        farm.assert_stored_once("night", jobs)
        farm.close()


@pytest.mark.parametrize("who", ["child", "parent"])
def test_a_worker_frozen_beyond_its_lease_publishes_nothing_when_it_wakes(
    make_farm: Callable[..., Farm], who: str
) -> None:
    farm = make_farm(renderer="fixed:0.5", lease_s=2.0)
    frozen, other = farm.start_all(2)
    jobs = farm.submit("night", specs(16))
    farm.wait_count("night", JobState.SUCCEEDED, 3)
    victim = farm.child_pid(frozen) if who == "child" else frozen.parent_pid

    os.kill(victim, signal.SIGSTOP)
    view = farm.wait_count("night", JobState.SUCCEEDED, 14)
    os.kill(victim, signal.SIGCONT)
    view = farm.wait_done("night")
    farm.submit("morning", specs(6))
    farm.wait_done("morning")

    assert view.counts[JobState.SUCCEEDED] == 16
    wait_for(lambda: all(not view.jobs for view in farm.ledger.workers.all()), what="no leases left")
    farm.assert_stored_once("night", jobs)
    assert other.process.poll() is None


def test_a_store_that_fails_keeps_its_clips_waiting_and_renders_none_again(
    make_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = make_farm(renderer=RENDERER, max_deliveries=2, lease_s=60.0)
    farm.start()
    jobs = farm.submit("night", specs(30))
    farm.wait_count("night", JobState.SUCCEEDED, 5)
    root, away = tmp_path / "store", tmp_path / "away"

    root.rename(away)
    root.write_text("in the way")  # a folder store below a file: nothing can be written, even by root
    wait_for(lambda: "store" in farm.ledger.workers.all()[0].trouble, what="the worker reports the store's error")
    root.unlink()
    away.rename(root)
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 30
    assert farm.attempts(jobs) == 30
    farm.assert_stored_once("night", jobs)
    wait_for(lambda: not farm.ledger.workers.all()[0].trouble, what="the end of the store's error")


def test_a_drained_worker_stores_what_it_has_and_leaves_the_rest_waiting(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.4", lease_s=60.0)
    worker = farm.start()
    jobs = farm.submit("night", specs(60))  # more than it could render before the signal, were this process slow
    farm.wait_count("night", JobState.SUCCEEDED, 2)

    worker.terminate()
    status = worker.wait()

    counts = farm.ledger.batches.get("night").counts
    assert status == 0
    assert counts[JobState.RUNNING] == 0
    assert counts[JobState.SUCCEEDED] < 60
    assert farm.attempts(jobs) == counts[JobState.SUCCEEDED]  # nothing was begun in vain
    assert farm.ledger.workers.all() == []

    farm.start(renderer="fixed:0.01")
    assert farm.wait_done("night").counts[JobState.SUCCEEDED] == 60
    farm.assert_stored_once("night", jobs)


def test_children_that_die_while_they_load_quarantine_the_worker(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer=RENDERER)
    worker = farm.start()
    killed: set[int] = set()

    def kill_the_next_child() -> bool:
        seen = farm.worker(worker.node)
        assert seen is not None
        if (pid := seen.info.pid) and pid not in killed and Path(f"/proc/{pid}").exists():
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return seen.state is WorkerState.QUARANTINED

    wait_for(kill_the_next_child, timeout_s=120, what="quarantine")

    assert worker.wait() == 69
    assert 4 <= len(killed) <= 5  # one that was ready, and three that were not
    assert "died" in farm.ledger.workers.all()[0].reason


def test_a_render_beyond_the_time_limit_is_interrupted_and_the_model_stays(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:20", clip_soft_limit_s=1, max_attempts=1, lease_s=60.0)
    worker = farm.start()
    before = farm.child_pid(worker)

    (job,) = farm.submit("slow", specs(1))
    farm.wait_done("slow")

    error = farm.ledger.jobs.get(job).error
    assert error is not None
    assert error["code"] == "timed_out"
    assert farm.child_pid(worker) == before


def test_a_gpu_that_fails_every_job_is_quarantined_and_costs_no_clip(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer=RENDERER)
    bad = farm.start(renderer=f"fixed:{CLIP_S}:broken")  # first: it listens by the time that the good one is there
    good = farm.start()
    jobs = farm.submit("night", specs(30))

    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 30
    culprit, other = farm.worker(bad.node), farm.worker(good.node)
    assert culprit is not None
    assert other is not None
    assert (culprit.state, other.state) == (WorkerState.QUARANTINED, WorkerState.READY)
    assert re.match(r"failed [0-9]+ jobs in a row", culprit.reason)
    assert bad.process.poll() is None  # it waits to be forgiven
    farm.assert_stored_once("night", jobs)


def test_a_prompt_that_kills_its_process_takes_two_workers_down_and_no_third(make_farm: Callable[..., Farm]) -> None:
    # A lease that ends before the parent tells of the death speaks against nobody; on a slow machine 5 s are short.
    farm = make_farm(renderer=RENDERER, lease_s=60.0)
    farm.start_all(2)
    good = specs(12)
    killer = RenderSpec(prompt=f"a fox {KILL_MARK}", frames=5, profile="tiny")
    jobs = farm.submit("night", [*good[:3], killer, *good[3:]])

    view = farm.wait_done("night")

    assert (view.counts[JobState.SUCCEEDED], view.counts[JobState.FAILED]) == (12, 1)
    error = farm.ledger.jobs.get(jobs[3]).error
    assert error is not None
    assert error["code"] == "poison"
    assert farm.ledger.jobs.get(jobs[3]).attempts == 2


def test_a_child_killed_with_two_deliveries_in_flight_has_both_clips_out_once(make_farm: Callable[..., Farm]) -> None:
    # 81 frames of the slowest preset take the encoder longer than a render of 10 ms.
    farm = make_farm(renderer="fixed:0.01", max_deliveries=2, video_preset="placebo", video_threads=1)
    worker = farm.start()
    jobs = farm.submit("night", specs(6, frames=81))

    def two_in_flight() -> list[str]:
        flying = [job.job_id for job in farm.ledger.overview.snapshot().in_hand if job.stage in ("mux", "upload")]
        return flying if len(flying) == 2 else []

    hit = kill_when(two_in_flight, [farm.child_pid(worker)], what="two deliveries in flight")
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 6
    assert all(farm.ledger.jobs.get(job_id).attempts >= 2 for job_id in hit)
    farm.assert_stored_once("night", jobs)
