"""What the rendering child tells its Celery parent: one small file, written whole or not at all.

The parent is the only one that writes a worker's record in the ledger, so that a late word of a dead child can never
undo what the parent has seen since. Billiard's own pipe between the two is not ours to use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from reelmill_common.atomic_file import write_atomically

Verdict = Literal["loading", "ready", "unfit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """How a child stands.

    Attributes:
        pid: Process id of the child that wrote it: a notice of another pid is that of a dead child.
        verdict: `loading` until the start-up gate is passed, then `ready`, or `unfit` for good.
        reason: Why it is unfit; empty otherwise.
        info: What the ledger should tell about the worker: device, plan, model, troubles.
    """

    pid: int
    verdict: Verdict
    reason: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


def notice_path(state_dir: Path, worker: str, parent_pid: int) -> Path:
    """Return the file by which the children of one Celery parent speak to it."""
    return state_dir / "run" / f"{worker}.{parent_pid}.json"


def post(path: Path, notice: ChildStatus) -> None:
    """Replace what the file says, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(notice)).encode())


def read(path: Path, *, pid: int | None) -> ChildStatus | None:
    """Return what the child with that process id last said, or None if it has said nothing."""
    try:
        notice = ChildStatus(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    return notice if notice.pid == pid else None
