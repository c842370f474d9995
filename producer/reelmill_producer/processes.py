"""Other processes by their id: whether one still is what it was."""

from __future__ import annotations

from pathlib import Path


def start_of(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if it has ended.

    A zombie has ended, though its parent has not looked yet. But not while threads of it run: until then it keeps its
    files and its port, and its parent cannot reap it (proc(5): state, num_threads and starttime of /proc/PID/stat).
    """
    try:
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    state, threads, started = rest[0], int(rest[17]), int(rest[19])
    return 0 if state in "ZX" and threads <= 1 else started
