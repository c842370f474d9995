"""The status that a rendering child reports to its Celery parent.

Only the parent writes a worker's record in the ledger, so that a late report of a dead child cannot undo what the
parent has seen since. Billiard's own pipe between the two is not ours to use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reelmill_common.atomic_file import write_atomically
from reelmill_common.ledger import WorkerInfo

Verdict = Literal["loading", "ready", "unfit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """A child's status.

    Attributes:
        pid: Process id of the child that wrote it: another one is that of a dead child.
        verdict: `loading` until the start-up gate is passed, then `ready`, or `unfit` for good.
        reason: Why it is unfit; empty otherwise.
        info: What the ledger should know about the worker, without `pid` and `machine`, which the parent adds.
    """

    pid: int
    verdict: Verdict
    reason: str = ""
    info: WorkerInfo = field(default_factory=WorkerInfo)


def write(path: Path, status: ChildStatus) -> None:
    """Replace the status in the file.

    Raises:
        OSError: The disk is full, or not to be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "pid": status.pid,
        "verdict": status.verdict,
        "reason": status.reason,
        "info": status.info.record(),
    }
    write_atomically(path, json.dumps(record).encode())


def read(path: Path, *, pid: int | None) -> ChildStatus | None:
    """Return the last status of the child with that process id, or None if it has reported none."""
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    status = ChildStatus(
        pid=record["pid"], verdict=record["verdict"], reason=record["reason"], info=WorkerInfo.of(record["info"])
    )
    return status if status.pid == pid else None
