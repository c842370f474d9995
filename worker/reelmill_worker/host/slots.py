"""The worker slots that one command serves: each a device with a worker's name, unique on the farm."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import structlog

from reelmill_common.errors import InvalidSettings, LedgerReadOnly, LedgerUnavailable, NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT
from reelmill_common.settings import Settings
from reelmill_worker.host.gpus import Gpu

log = structlog.get_logger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Differs between hosts and after each boot; the same in all containers of a host."""

Taker = Callable[[str], bool]
"""Takes a name on the farm; returns False where another machine has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSlot:
    """One worker process: its device and its name.

    Attributes:
        device: What `CUDA_VISIBLE_DEVICES` takes, or "" for the CPU.
        node: Celery node name, unique on the farm.
        number: Number among the workers of this host, from 0: added to its metrics port.
    """

    device: str
    node: str
    number: int = 0


def machine_of(state_dir: Path, boot_id: Path = BOOT_ID) -> str:
    """Return a hash of this boot and state folder, which tells hosts, or containers, of the same name apart.

    Commands with one state folder keep their names apart by its lock files, which others do not see.
    """
    path = state_dir / "run" / "identity"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        own = handle.read().strip()
        if not own:
            own = uuid.uuid4().hex
            handle.write(own)
    boot = boot_id.read_text().strip() if boot_id.is_file() else ""
    return hashlib.sha256(f"{boot} {own}".encode()).hexdigest()[:8]


def taker(settings: Settings, machine: str) -> Taker:
    """Return what takes names on the farm; where Redis does not answer, every name counts as free.

    Raises:
        LedgerRefused: Redis refuses this worker.
    """
    try:
        ledger = Ledger.connect(settings, patience=PROMPT)
        ledger.check_rights()
    except (LedgerUnavailable, LedgerReadOnly) as err:  # the workers wait for it
        log.warning("ledger.awaited", error=str(err))
        return lambda _node: True

    def take(node: str) -> bool:
        try:
            return ledger.workers.take_name(node, machine)
        except (LedgerUnavailable, LedgerReadOnly) as err:
            log.warning("ledger.awaited", error=str(err))
            return True
        finally:
            ledger.close()  # the command only waits from now on

    return take


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotClaims:
    """Claims names for workers and keeps them from other `reelmill worker` commands, here and elsewhere.

    Attributes:
        state_dir: Folder of the host's state, with the lock files.
        host: Host name, the second part of each name.
        machine: Suffix of names that a live worker of another machine has, see `machine_of`.
        take: Takes a name on the farm.
        stack: Holds the lock files until it closes.
    """

    state_dir: Path
    host: str
    machine: str
    take: Taker
    stack: ExitStack

    def claim(self, gpus: Sequence[Gpu], name: str = "") -> list[WorkerSlot]:
        """Claim a slot for each GPU, or one on the CPU where there is none.

        `gpu0@host`, `gpu1@host` … or, with a name of `night`, `night0@host` …. A worker without a device gets the first
        free of `cpu0`, `cpu1` …, so that several may run side by side. Where a live worker of another machine has one
        of the names, ours are `gpu0@host-1a2b3c4d`.

        Raises:
            InvalidSettings: Another command of this host serves a device already.
        """
        return self._take_names(self._lock_devices(gpus, name) if gpus else [self._lock_cpu(name)])

    def _lock_cpu(self, name: str) -> WorkerSlot:
        def node(number: int) -> str:
            return f"{name or 'cpu'}{number}@{self.host}"

        number = next(number for number in itertools.count() if self._lock(node(number)))
        return WorkerSlot(device="", node=node(number), number=number)

    def _lock_devices(self, gpus: Sequence[Gpu], name: str) -> list[WorkerSlot]:
        slots = [
            WorkerSlot(device=gpu.device, node=f"{name or 'gpu'}{gpu.label}@{self.host}", number=gpu.place)
            for gpu in gpus
        ]
        for slot in slots:
            if not self._lock(slot.node):
                raise InvalidSettings(
                    f"a worker named {slot.node} runs on this host already; stop it first, "
                    "or leave its device out with --devices, or give another --name"
                )
        return slots

    def _take_names(self, slots: list[WorkerSlot]) -> list[WorkerSlot]:
        taken = [slot.node for slot in slots if not self.take(slot.node)]
        if not taken:
            return slots
        advice = "another machine has this name; rename one"
        log.warning("worker.renamed", taken=taken, suffix=self.machine, advice=advice)
        renamed = [replace(slot, node=f"{slot.node}-{self.machine}") for slot in slots]
        for slot in renamed:
            self.take(slot.node)
        return renamed

    def _lock(self, node: str) -> bool:
        """Hold a lock file until the stack closes; the kernel releases it if this process is killed."""
        folder = self.state_dir / "run"
        folder.mkdir(parents=True, exist_ok=True)
        handle: IO[bytes] = self.stack.enter_context((folder / f"{node}.lock").open("ab"))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def host_cpus() -> int:
    """Return how many CPUs this process may use; all of the host where that cannot be limited (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def forgive(settings: Settings, slots: Sequence[WorkerSlot]) -> None:
    """Lift the quarantine of these workers: a worker that is started by hand is taken for repaired.

    Raises:
        LedgerRefused: Redis refuses this worker. (The workers wait for one that does not answer.)
    """
    try:
        ledger = Ledger.connect(settings, patience=PROMPT)
        for slot in slots:
            with suppress(NotFound):  # it never worked here
                ledger.workers.forgive(slot.node)
    except (LedgerUnavailable, LedgerReadOnly) as err:
        log.warning("ledger.awaited", error=str(err))
