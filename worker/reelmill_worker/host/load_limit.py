"""The limit of models that a host loads at once, so that its workers do not all hold a copy in memory together."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger(__name__)

LOOK_S = 0.5
"""Seconds between tries. A load takes many seconds."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def load_permit(folder: Path, need_bytes: int, *, on_wait: Callable[[], None]) -> Generator[None]:
    """Wait until this process may load a model, and let the next one load afterwards.

    As many load at once as the memory that is free now has room for, and at least one. A permit is a locked file: a
    holder that dies gives it up.

    Args:
        folder: Folder of the lock files, the same for all workers of the host.
        need_bytes: Host memory that a load takes; 0: none, and there is no wait.
        on_wait: Called once if there is a wait.
    """
    if not need_bytes:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    started, waited, handle = time.monotonic(), False, None
    while handle is None:
        handle = _take(folder, places(free_bytes(), need_bytes))
        if handle is None:
            if not waited:
                on_wait()
                waited = True
            time.sleep(LOOK_S)
    if waited:
        log.info("load.awaited", seconds=round(time.monotonic() - started, 1))
    try:
        yield
    finally:
        handle.close()


def places(free: int, need: int) -> int:
    """Return how many loads there may be at once."""
    return max(1, free // need)


def free_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """Return the memory that is available without swapping, on this host and within this container's limit.

    0 where that is not known (macOS): one model at a time is loaded then.
    """
    if not meminfo.is_file():
        return 0
    lines = (line.split() for line in meminfo.read_text().splitlines())
    host = next((int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:"), 0)
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such limit (`max`), or another kind of container
        return host
    # Cached files count as used, but are dropped when memory is needed.
    return min(host, max(0, limit - used + int(stat.get("inactive_file", 0))))


def model_bytes(folder: Path) -> int:
    """Return the host memory that loading a model takes: no more than its weights on disk."""
    return sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))


def _take(folder: Path, count: int) -> IO[bytes] | None:
    for place in range(count):
        handle = (folder / f"load-{place}.lock").open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            continue
        return handle
    return None
