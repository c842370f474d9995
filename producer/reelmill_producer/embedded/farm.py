"""The embedded farm: a Valkey server, a worker and a folder of clips on this machine, without configuration."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reelmill_common.errors import InvalidModel, LedgerUnavailable, ReelmillError, WorkerUnfit
from reelmill_common.gpus import profile_here
from reelmill_common.ledger import Ledger, WorkerState
from reelmill_common.profiles import TINY
from reelmill_common.settings import Settings
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.processes import start_of
from reelmill_producer.embedded.state_file import FarmRecord
from reelmill_producer.embedded.valkey import ValkeyServer

JOIN_TIMEOUT_S = 60.0
"""Another command may hold the folder during a submit, or be starting its server."""
KILL_AFTER_S = 15.0
"""Seconds after the second signal to a worker, which kills its processes, before it is killed itself."""
LOG_BYTES = 10_000_000

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class EmbeddedFarm:
    """A farm on this machine: run and stopped by this process, or run by another one.

    Attributes:
        settings: Complete settings, with the addresses of the farm's Redis and its clips.
        owned: Whether this process runs it.
    """

    settings: Settings
    owned: bool
    _environment: Mapping[str, str]
    _say: Say
    _server: ValkeyServer | None = None
    _worker: subprocess.Popen[bytes] | None = None

    @property
    def state_dir(self) -> Path:
        """The folder with the server's data, the models and the logs."""
        return self.settings.state_dir

    @property
    def worker_log(self) -> Path:
        """The file of the worker's log."""
        return self.state_dir / "worker.log"

    def start_worker(self) -> None:
        """Start the worker, after making the tiny model if it serves that; do nothing if another process runs the farm.

        Raises:
            InvalidModel: The profile's model is not there and cannot be made here.
        """
        if not self.owned or self._worker is not None:
            return
        self._provide_model()
        if self.worker_log.exists() and self.worker_log.stat().st_size > LOG_BYTES:
            self.worker_log.replace(self.worker_log.with_suffix(".log.1"))
        with self.worker_log.open("ab") as log:
            self._worker = subprocess.Popen(
                _worker_side("worker"),
                env={**self._environment, **self.settings.to_env()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which stops the worker in order
            )
        self.record()
        what = ", small weights that know a small world" if self.settings.profile == TINY else ""
        self._say(f"starting a worker for {self.settings.profile}{what} (log: {self.worker_log})")

    def record(self) -> None:
        """Write the state file, by which other commands on this machine find the farm."""
        pid = self._worker.pid if self._worker is not None else 0
        state_file.write(
            self.state_dir,
            FarmRecord(
                pid=os.getpid(),
                redis_url=self.settings.redis_url,
                store_url=self.settings.store_url,
                profile=self.settings.profile,
                worker_pid=pid,
                worker_started=start_of(pid),
            ),
        )

    def check(self) -> None:
        """Raise unless the farm still runs.

        Raises:
            WorkerUnfit: Our worker has ended; the message says why.
            LedgerUnavailable: The farm of the other process has stopped.
        """
        if not self.owned:
            if not state_file.is_held(self.state_dir):
                raise LedgerUnavailable(f"the farm in {self.state_dir} was stopped; `reelmill up` goes on with it")
        elif self._server is not None and not self._server.is_alive():
            raise LedgerUnavailable(f"the embedded server has died; see {self._server.folder / 'valkey.log'}")
        elif self._worker is not None and (status := self._worker.poll()) is not None:
            raise WorkerUnfit(
                f"the worker has ended with status {status}: {self._reason()}. "
                "What waits is kept; fix the cause, then run the command again"
            )

    def announce_stop(self) -> None:
        """Say what an interrupt does."""
        if self.owned and self._worker is not None:
            self._say("stopping: the clip in hand is finished first (Ctrl-C again: stop at once); what waits is kept")

    def stop(self) -> None:
        """Stop in order: the worker finishes and stores the clip in hand, then the server saves its data."""
        if not self.owned:
            return
        try:
            self._stop_worker()
        finally:
            if self._server is not None:
                self._server.stop()
            state_file.remove(self.state_dir)

    def _stop_worker(self) -> None:
        if self._worker is None or self._worker.poll() is not None:
            return
        self._worker.send_signal(signal.SIGTERM)
        try:
            self._worker.wait()
        except KeyboardInterrupt:
            self._worker.send_signal(signal.SIGTERM)  # the second one kills its processes
            _end(self._worker)

    def _reason(self) -> str:
        """Return why the worker ended: as the ledger has it, else the end of its log."""
        with suppress(ReelmillError), Ledger.connect(self.settings) as ledger:
            reasons = [worker.reason for worker in ledger.workers.all() if worker.state is WorkerState.QUARANTINED]
            if any(reasons):
                return "; ".join(filter(None, reasons))
        lines = self.worker_log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"its log {self.worker_log} ends: {' | '.join(lines)[-600:]}"

    def _provide_model(self) -> None:
        if self.settings.renderer != "model":
            return
        folder = self.settings.model_folder(self.settings.profile)
        if (folder / "model_index.json").is_file():
            return
        if self.settings.profile != TINY:
            raise InvalidModel(
                f"no model of {self.settings.profile} in {folder}; fetch it with `reelmill model pull`, "
                "or set REELMILL_MODEL_DIR to its folder, or try the farm out with REELMILL_PROFILE=tiny"
            )
        self._say(f"making the tiny model in {folder}")
        part = folder.with_name(f".{folder.name}.{os.getpid()}")
        try:
            _run(_worker_side("model", "tiny", str(part)), {**self._environment, **self.settings.to_env()})
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def joined(settings: Settings, environment: Mapping[str, str], say: Say) -> Generator[EmbeddedFarm]:
    """Use the farm that runs on `settings.state_dir`, or run one, without a worker yet, until the end of the block.

    Raises:
        LedgerUnavailable: Another process holds the folder and does not become ready.
        StoreRefused: The state folder cannot be written.
    """
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while True:
        with state_file.hold(settings.state_dir) as ours:
            if ours:
                with _own(settings, environment, say) as farm:
                    yield farm
                return
        record = state_file.running(settings.state_dir)
        if record is not None:
            reached = state_file.attached_to(settings, record)
            yield EmbeddedFarm(settings=reached, owned=False, _environment=environment, _say=say)
            return
        if time.monotonic() > deadline:
            raise LedgerUnavailable(
                f"another process holds {settings.state_dir} but has no farm ready after {JOIN_TIMEOUT_S:.0f} s; "
                "look for a hanging `reelmill`"
            )
        time.sleep(0.05)


@contextmanager
def _own(settings: Settings, environment: Mapping[str, str], say: Say) -> Generator[EmbeddedFarm]:
    _end_orphan(settings.state_dir)
    server = ValkeyServer.start(settings.state_dir / "valkey")
    complete = replace(
        settings,
        redis_url=server.url,
        store_url=settings.store_url or settings.clips_folder.absolute().as_uri(),
        profile=profile_here(settings),
    )
    farm = EmbeddedFarm(settings=complete, owned=True, _environment=environment, _say=say, _server=server)
    try:
        farm.record()
        yield farm
    except KeyboardInterrupt:
        farm.announce_stop()
        raise
    finally:
        farm.stop()


def has_run(state_dir: Path) -> bool:
    """Whether a farm ever ran on a state folder: only then is there anything to ask it."""
    return (state_dir / "valkey").is_dir()


def _worker_side(*arguments: str) -> list[str]:
    # By module name: the producer never imports the worker.
    return [sys.executable, "-m", "reelmill_worker", *arguments]


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidModel(f"`{' '.join(command)}` ended with status {done.returncode}: {done.stderr.strip()[-600:]}")


def _end_orphan(state_dir: Path) -> None:
    """End the worker that a killed farm left behind: it would share its name and its GPU with ours."""
    record = state_file.read(state_dir)
    if record is None or not record.worker_started or start_of(record.worker_pid) != record.worker_started:
        return
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(record.worker_pid, number)
        deadline = time.monotonic() + KILL_AFTER_S
        while time.monotonic() < deadline:
            if start_of(record.worker_pid) != record.worker_started:
                return
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
