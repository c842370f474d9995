"""Runs `reader` on an untrusted file, and takes whatever becomes of it for an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from reelmill_common.config.setting_names import PREFIX

MOST_S = 90.0
"""Seconds that a reader may take."""
MOST_ANSWER = 4_000_000
Task = Literal["signature", "looks"]


def read(path: Path, task: Task, *, anchors: str = "") -> dict[str, Any]:
    """Return a reader's answer; `{"error": …}` if it died, took too long or answered nothing that can be read.

    Args:
        path: The file, which may hold anything.
        task: What to read.
        anchors: PEM of the authorities that are trusted.
    """
    request = json.dumps({"path": str(path.absolute()), "task": task, "anchors": anchors})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "reelmill_producer.verification.reader"],
            input=request.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what native code may print there has no end
            timeout=MOST_S,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it took more than {MOST_S:.0f} s to read"}
    if done.returncode:
        return {"error": f"its reader ended with {_reason(done.returncode)}"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout[:MOST_ANSWER])
    except ValueError:
        return {"error": "its reader gave no answer that can be read"}
    return answer


def _environment() -> dict[str, str]:
    """Return this environment without the farm's settings, which hold secrets, and with one thread for arithmetic."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "AWS_"))}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _reason(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
