"""Other processes by their id: when one started, and whether it has ended."""

from __future__ import annotations

import subprocess
from calendar import timegm
from contextlib import suppress
from pathlib import Path
from time import strptime

_PROC = Path("/proc/self/stat")


def start_of(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if it has ended.

    A zombie has ended, unless threads of it still run: until then it keeps its files and its port, and its parent
    cannot reap it (proc(5): state, num_threads and starttime of /proc/PID/stat).

    Without /proc (macOS) the answer comes from `ps`, in seconds: comparable only with another answer of `ps`.
    """
    try:
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0 if _PROC.exists() else _start_by_ps(pid)
    state, threads, started = rest[0], int(rest[17]), int(rest[19])
    return 0 if state in "ZX" and threads <= 1 else started


def _start_by_ps(pid: int) -> int:
    """Return what `ps` prints as a process' start (ps(1): lstart, `Sun Nov 29 01:49:21 2026`), as a number."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    try:
        shown = subprocess.run(command, env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"}, capture_output=True, check=False)
    except OSError:
        return 0
    state, _, started = shown.stdout.decode(errors="replace").strip().partition(" ")
    with suppress(ValueError):
        if not state.startswith("Z"):
            return timegm(strptime(started.strip(), "%a %b %d %H:%M:%S %Y"))
    return 0
