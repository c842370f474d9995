"""The consumer's step of Celery: what it does before a child is there."""

from __future__ import annotations

import os
from types import SimpleNamespace

from fixtures.bench import NODE
from reelmill_common.broker import make_app
from reelmill_common.settings import Settings
from reelmill_worker.ipc.child_files import ChildFiles
from reelmill_worker.ipc.child_status import ChildStatus, write
from reelmill_worker.ipc.progress import StagePace
from reelmill_worker.parent.consumer_step import consumption_step


def test_what_a_life_of_the_same_process_id_left_is_not_believed(settings: Settings) -> None:
    files = ChildFiles(state_dir=settings.state_dir, worker=NODE, parent_pid=os.getpid())
    write(files.status, ChildStatus(pid=4711, verdict="ready"))
    StagePace(path=files.progress).enter("a shape", "denoise 1/3")
    pool = SimpleNamespace(info={"processes": [4711]})
    consumer = SimpleNamespace(app=make_app(settings), hostname=NODE, pool=pool)

    step = consumption_step(settings, "tiny")(consumer)
    step.housekeeping.look()

    assert (files.status.exists(), files.progress.exists()) == (False, False)
    assert not step.housekeeping.consuming
