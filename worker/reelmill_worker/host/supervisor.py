"""Runs one Celery parent per device, restarts those that die, and drains them all when asked to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import structlog

# Not Celery's own wrapper: that sends SIGKILL whatever it is asked for. celery-types has no stub of this one.
from billiard.util import set_pdeathsig  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

from reelmill_common.errors import WorkerUnfit
from reelmill_worker.host.slots import WorkerSlot, host_cpus

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0
"""A parent that lived this long died of something new: its next pause is the shortest again."""
POLL_S = 0.1
FEWEST_ENCODER_THREADS, MOST_ENCODER_THREADS = 2, 16
"""x264 cuts a picture into rows of macroblocks: 480 lines have 30, and past 16 threads they mostly wait."""
THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads spin while they wait for each other; with several workers on a host they would spin against them."""


@dataclass(slots=True, kw_only=True)
class Parent:
    """One Celery parent over its lives.

    Attributes:
        command: What to run, see `celery_command`.
        environment: All variables; the device is added.
        pause_s: Seconds before the next start, doubled with every death.
        quarantined: It ended by itself and for good, until it is started by hand.
    """

    slot: WorkerSlot
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    quarantined: bool = False

    def start(self) -> None:
        """Start the process. It drains by itself if this one dies, since no other process would end it."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env={**THREADS, **self.environment, "CUDA_VISIBLE_DEVICES": self.slot.device},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,  # Ctrl-C reaches us only, and we tell the parents once
            preexec_fn=self._prepare,  # noqa: PLW1509 - this process has one thread
        )
        log.info(
            "parent.started",
            worker=self.slot.node,
            pid=self.process.pid,
            device=self.slot.device or "cpu",
            cpus=host_cpus(),
        )

    def tend(self) -> None:
        """Start what is due, and note what has ended."""
        if self.process is None:
            if not self.quarantined and time.monotonic() >= self.start_at:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        self.process = None
        if status == WorkerUnfit.exit_status:
            self.quarantined = True
            log.error(
                "worker.quarantined",
                worker=self.slot.node,
                advice="see its reason above or in `reelmill status`, fix it, and start `reelmill worker` again",
            )
            return
        if time.monotonic() - self.started_at >= STEADY_S:
            self.pause_s = FIRST_PAUSE_S
        self.start_at = time.monotonic() + self.pause_s
        log.error("parent.lost", worker=self.slot.node, status=status, restart_in_s=self.pause_s)
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    def _prepare(self) -> None:
        """Run between fork and exec; what it sets, the parent and its child inherit."""
        with suppress(OSError):  # macOS has none: a parent outlives a killed supervisor there
            set_pdeathsig(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """All Celery parents of one `reelmill worker`."""

    parents: Sequence[Parent]
    _stops: int = 0

    def run(self) -> int:
        """Run until told to stop, or until every worker is quarantined; return the exit status.

        SIGTERM and SIGINT drain: clips in hand are finished and stored. A second one kills.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        while not self._stops and not all(parent.quarantined for parent in self.parents):
            for parent in self.parents:
                parent.tend()
            time.sleep(POLL_S)
        return self._wind_up()

    def _wind_up(self) -> int:
        sent = 0
        statuses: list[int] = []
        running = [parent for parent in self.parents if parent.process is not None]
        if running:
            log.info("supervisor.draining", workers=[parent.slot.node for parent in running])
        while running:
            if sent < min(self._stops, 2):
                sent += 1
                for parent in running:
                    parent.send(signal.SIGTERM if sent == 1 else signal.SIGKILL)
            for parent in list(running):
                status = parent.process.poll() if parent.process is not None else 0
                if status is not None:
                    statuses.append(status)
                    running.remove(parent)
            time.sleep(POLL_S)
        log.info("supervisor.stopped", statuses=statuses)
        if any(parent.quarantined for parent in self.parents):
            return WorkerUnfit.exit_status
        return max((_as_exit_status(status) for status in statuses), default=0)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stops += 1


def encoder_threads(workers: int) -> int:
    """Return how many encoder threads each of this host's workers may take, so that all together fit its cores."""
    share = host_cpus() // workers
    return min(MOST_ENCODER_THREADS, max(FEWEST_ENCODER_THREADS, share))


def thread_limits(workers: int) -> dict[str, str]:
    """Return the variables that keep the threads of several workers' arithmetic within the host's cores together."""
    if workers == 1:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, host_cpus() // workers))}


def celery_command(node: str, queue: str) -> list[str]:
    """Return the command line of one Celery parent; `docs/decisions/0003-celery-settings.md` says why each flag."""
    return [
        *(sys.executable, "-m", "celery", "-A", "reelmill_worker.app", "--quiet", "worker"),
        *("-n", node, "-Q", queue, "-P", "prefork", "-c", "1", "-O", "fair"),
        *("--without-gossip", "--without-mingle", "-l", "WARNING"),
    ]


def _as_exit_status(status: int) -> int:
    return status if status >= 0 else 128 - status  # as a shell reports a signal
