"""A child's status: read from its own process only."""

from __future__ import annotations

import os
from pathlib import Path

from reelmill_common.ledger import WorkerInfo
from reelmill_worker.ipc.child_status import ChildStatus, read, write


def test_a_status_is_read_from_its_own_process_only(tmp_path: Path) -> None:
    path = tmp_path / "worker" / "status.json"
    before = read(path, pid=os.getpid())
    status = ChildStatus(pid=os.getpid(), verdict="ready", info=WorkerInfo(model_hash="abc"))

    write(path, status)

    assert before is None
    assert read(path, pid=os.getpid()) == status
    assert read(path, pid=os.getpid() + 1) is None
