"""The supervisor: one parent per device, restarted when it dies, left alone when it is unfit, drained when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.valkey import wait_for
from reelmill_worker.host.supervisor import Parent, WorkerSlot, thread_limits


def parent(code: str) -> Parent:
    return Parent(
        slot=WorkerSlot(device="", node="cpu0@test"), command=[sys.executable, "-c", code], environment=dict(os.environ)
    )


def tend_until_it_ends(parent: Parent) -> None:
    parent.tend()
    process = parent.process
    assert process is not None
    process.wait(60)
    parent.tend()


def test_a_parent_that_dies_is_started_again_after_a_pause_that_doubles() -> None:
    dying = parent("raise SystemExit(1)")
    dying.pause_s = 0.05
    before = time.monotonic()

    tend_until_it_ends(dying)
    wait_for(lambda: dying.tend() or dying.process, what="the second start")
    tend_until_it_ends(dying)

    assert dying.pause_s == pytest.approx(0.2)
    assert not dying.quarantined
    assert dying.start_at > before


def test_a_parent_that_ends_as_unfit_is_not_started_again() -> None:
    unfit = parent("raise SystemExit(69)")

    tend_until_it_ends(unfit)
    unfit.tend()

    assert unfit.quarantined
    assert unfit.process is None


SUPERVISED = """
import sys
from reelmill_worker.host.supervisor import Parent, WorkerSlot, Supervisor
code = sys.argv[1]
parent = Parent(slot=WorkerSlot(device="", node="cpu0@test"), command=[sys.executable, "-c", code], environment={})
sys.exit(Supervisor(parents=[parent]).run())
"""
OBEDIENT = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); open({0!r}, 'w').close(); time.sleep(60)"
)
DEAF = (
    "import signal, sys, time; signal.signal(15, lambda *_: open({0!r} + '.heard', 'w').close()); "
    "open({0!r}, 'w').close(); time.sleep(60); time.sleep(60)"
)


def start(code: str, ready: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISED, code.format(str(ready))])
    wait_for(ready.exists, what="the parent's start")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    process = start(OBEDIENT, tmp_path / "ready")

    process.send_signal(number)

    assert process.wait(60) == 0


def test_a_second_signal_kills(tmp_path: Path) -> None:
    process = start(DEAF, tmp_path / "ready")

    process.send_signal(signal.SIGTERM)
    wait_for((tmp_path / "ready.heard").exists, what="the first signal's way to the parent")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 128 + signal.SIGKILL


def test_it_ends_as_unfit_when_all_of_its_workers_are(tmp_path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", SUPERVISED, "raise SystemExit(69)"], timeout=120, check=False)

    assert process.returncode == 69


def test_parents_drain_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    code = OBEDIENT.replace("sys.exit(0)", f"(open({str(gone)!r}, 'w').close(), sys.exit(0))")
    process = start(code, tmp_path / "ready")

    process.kill()
    process.wait()

    wait_for(gone.exists, what="the parent's drain")


def test_several_workers_share_the_cores_and_one_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))

    assert thread_limits(1) == {}
    assert thread_limits(3) == {"OMP_NUM_THREADS": "5"}
    assert thread_limits(64) == {"OMP_NUM_THREADS": "1"}
