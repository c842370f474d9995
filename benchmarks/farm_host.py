"""The processes of a farm on this host: which is what, the CPU that each kind takes, and the memory of them all.

Part of `farm.py --gpus`. Everything is read from /proc, below this process: servers and `reelmill worker` are its
children, the Celery parents theirs, and a rendering child is the child of a parent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SERVER = "valkey"
ROLES = ("supervisor", "parent", "child")
"""What a process is by its depth below this one; a child of a child is `other`."""
TRACKER = "semaphore_tracker"
"""What billiard starts beside a rendering child."""
MEMORY_S = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the farm.

    Attributes:
        role: One of `ROLES`, `server` or `other`.
        worker: Node name of the worker that it belongs to; empty above the parents.
        cpu_s: Core-seconds so far, of its threads that have ended too.
        threads: Core-seconds so far by live thread.
    """

    pid: int
    role: str
    worker: str
    cpu_s: float
    threads: Mapping[int, float]


def processes() -> list[Process]:
    """Return the live processes below this one."""
    parents, names = dict[int, int](), dict[int, str]()
    for path in PROC.glob("[0-9]*/stat"):
        stat = _stat(path)
        if stat is not None:
            parents[int(path.parent.name)], names[int(path.parent.name)] = stat[1], stat[0]
    found: list[Process] = []
    for pid in parents:
        line = _line(pid, parents)
        if not line:
            continue
        depth = len(line) - 1
        role = "server" if SERVER in names[pid] else ROLES[depth] if depth < len(ROLES) else "other"
        role = "other" if any(TRACKER in argument for argument in _arguments(pid)) else role
        worker = _node(line[1]) if depth else ""
        stat = _stat(PROC / str(pid) / "stat")
        if stat is not None:
            found.append(Process(pid=pid, role=role, worker=worker, cpu_s=stat[2], threads=_threads(pid)))
    return found


def cpu_by_role(before: list[Process], after: list[Process]) -> dict[str, float]:
    """Return core-seconds between two looks: by role, and for the children by what their threads are.

    `gpu thread` is a child's first thread, which launches and waits; `other threads` are those that live on (delivery,
    the CUDA driver's); `ended threads` are those that x264 starts for a clip and ends with it.
    """
    earlier = {process.pid: process for process in before}
    totals: dict[str, float] = {}

    def add(what: str, seconds: float) -> None:
        totals[what] = totals.get(what, 0.0) + seconds

    for process in after:
        old = earlier.get(process.pid)
        spent = process.cpu_s - (old.cpu_s if old else 0.0)
        if process.role != "child":
            add(process.role, spent)
            continue
        lived = {tid: cpu - (old.threads.get(tid, 0.0) if old else 0.0) for tid, cpu in process.threads.items()}
        first = lived.pop(process.pid, 0.0)
        add("child: gpu thread", first)
        add("child: other threads", sum(lived.values()))
        add("child: ended threads", spent - first - sum(lived.values()))
    return {what: round(seconds, 3) for what, seconds in totals.items()}


class MemoryWatch:
    """Adds up the memory of all processes below this one, ten times a second.

    Attributes:
        own_bytes: Most that they held of their own at once: anonymous and shared memory.
        file_bytes: Most pages of files that they had mapped at once, a page of two processes counted twice.
        most_bytes: Most that one process held of its own.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self.own_bytes = self.file_bytes = self.most_bytes = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look for the length of a block."""
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look(self, over: threading.Event) -> None:
        while not over.wait(MEMORY_S):
            held = [_memory(pid) for pid in _below()]
            self.own_bytes = max(self.own_bytes, sum(own for own, _ in held))
            self.file_bytes = max(self.file_bytes, sum(mapped for _, mapped in held))
            self.most_bytes = max(self.most_bytes, *(own for own, _ in held), 0)


def _below() -> list[int]:
    stats = {int(path.parent.name): _stat(path) for path in PROC.glob("[0-9]*/stat")}
    parents = {pid: stat[1] for pid, stat in stats.items() if stat is not None}
    return [pid for pid in parents if _line(pid, parents)]


def _line(pid: int, parents: Mapping[int, int]) -> list[int]:
    """Return the processes from our child down to one; none if it is not below us."""
    line: list[int] = []
    while pid in parents and pid != os.getpid():
        line.insert(0, pid)
        pid = parents[pid]
    return line if pid == os.getpid() else []


def _stat(path: Path) -> tuple[str, int, float] | None:
    """Return name, parent and core-seconds of a process or thread; None if it has ended."""
    try:
        head, _, tail = path.read_text().rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    return head.partition("(")[2], int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS


def _threads(pid: int) -> dict[int, float]:
    found: dict[int, float] = {}
    for path in (PROC / str(pid) / "task").glob("[0-9]*/stat"):
        stat = _stat(path)
        if stat is not None:
            found[int(path.parent.name)] = stat[2]
    return found


def _node(pid: int) -> str:
    """Return the node name of a Celery parent, from its command line."""
    arguments = _arguments(pid)
    return arguments[arguments.index("-n") + 1] if "-n" in arguments else ""


def _arguments(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []


def _memory(pid: int) -> tuple[int, int]:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0), sizes.get("RssFile", 0)
