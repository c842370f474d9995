"""Posts: the places to render that one command serves, each a device with a worker's name that nobody else has."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import structlog

from reelmill_common.errors import InvalidSettings, LedgerReadOnly, LedgerUnavailable, NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.server import PROMPT
from reelmill_common.settings import Settings
from reelmill_worker.host.gpus import Gpu, node_cpus

log = structlog.get_logger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another one on each host and after each boot; the same in all containers of a host."""

Taker = Callable[[str], bool]
"""Asks whether a name is ours on the farm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSlot:
    """One place to render: a device and the worker's name for it.

    Attributes:
        device: What `CUDA_VISIBLE_DEVICES` takes, or "" for the CPU.
        node: Celery node name, unique on the farm.
        number: Of all workers of this host, from 0: counts its metrics port.
        bus: Its place on the bus; empty if that is not known.
        cpus: CPUs near the device, on which alone its worker runs; none: all that the command has.
    """

    device: str
    node: str
    number: int = 0
    bus: str = ""
    cpus: frozenset[int] = field(default=frozenset())


def machine_of(state_dir: Path, boot_id: Path = BOOT_ID) -> str:
    """Return what tells us from a host, or a container, of the same name: eight digits of this boot and state folder.

    Commands of one state folder keep their names apart by its lock files; those of another one do not see them.
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
    """Return how to take a name on the farm; where Redis does not answer every name counts as ours.

    Raises:
        LedgerRefused: Redis answers, but not to us.
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

    return take


def reserve(
    state_dir: Path, *, cards: Sequence[Gpu], name: str, host: str, stack: ExitStack, take: Taker, machine: str
) -> list[WorkerSlot]:
    """Name the workers and keep the names from other `reelmill worker` commands, here and elsewhere.

    `gpu0@host`, `gpu1@host` … or, with a name of `night`, `night0@host` …. A worker without a device takes the first
    free of `cpu0`, `cpu1` …, so that several may run side by side. Where a live worker of another machine has one of
    the names, ours are `gpu0@host-1a2b3c4d`.

    Raises:
        InvalidSettings: Another command of this host serves a device already.
    """
    if not cards:
        names = ((number, f"{name or 'cpu'}{number}@{host}") for number in range(1000))
        number, node = next((number, node) for number, node in names if _lock(state_dir, node, stack))
        return _apart([WorkerSlot(device="", node=node, number=number)], take, machine)
    posts = [
        WorkerSlot(device=card.device, node=f"{name or 'gpu'}{card.label}@{host}", number=card.place, bus=card.bus)
        for card in cards
    ]
    for post in posts:
        if not _lock(state_dir, post.node, stack):
            raise InvalidSettings(
                f"a worker named {post.node} runs on this host already; stop it first, "
                "or leave its device out with --devices, or give another --name"
            )
    return _apart(posts, take, machine)


def host_cpus() -> frozenset[int]:
    """Return the CPUs that this process may use; all of the host where that cannot be limited (macOS)."""
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def near_their_cards(posts: Sequence[WorkerSlot], sysfs: Path = Path("/sys")) -> list[WorkerSlot]:
    """Give each worker the CPUs of its card's memory node: frames and weights then do not cross between the nodes."""
    ours, found = host_cpus(), list[WorkerSlot]()
    for post in posts:
        cpus = frozenset(node_cpus(post.bus, sysfs) & ours)
        found.append(replace(post, cpus=cpus))
        if cpus:
            log.info("worker.placed", worker=post.node, bus=post.bus, cpus=sorted(cpus))
    return found


def forgive(settings: Settings, posts: Sequence[WorkerSlot]) -> None:
    """Lift the quarantine of our names: whoever starts a worker by hand has looked at what was wrong.

    Raises:
        LedgerRefused: Redis answers, but not to us. (One that does not answer is waited for by the workers.)
    """
    try:
        ledger = Ledger.connect(settings, patience=PROMPT)
        for post in posts:
            with suppress(NotFound):  # it never worked here
                ledger.workers.forgive(post.node)
    except (LedgerUnavailable, LedgerReadOnly) as err:
        log.warning("ledger.awaited", error=str(err))


def _apart(posts: list[WorkerSlot], take: Taker, machine: str) -> list[WorkerSlot]:
    taken = [post.node for post in posts if not take(post.node)]
    if not taken:
        return posts
    log.warning("worker.renamed", taken=taken, suffix=machine, advice="another machine has this name; rename one")
    renamed = [replace(post, node=f"{post.node}-{machine}") for post in posts]
    for post in renamed:
        take(post.node)
    return renamed


def _lock(state_dir: Path, node: str, stack: ExitStack) -> bool:
    """Hold a lock file until the stack closes; the kernel lets go of it if we are killed."""
    folder = state_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    handle: IO[bytes] = stack.enter_context((folder / f"{node}.lock").open("ab"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
