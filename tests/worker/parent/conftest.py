"""A worker that keeps house for a child process that the test plays."""

from __future__ import annotations

import pytest

from fixtures.child import NODE, Child, child_files
from reelmill_common.broker import make_app
from reelmill_common.settings import Settings
from reelmill_worker.parent.housekeeping import Housekeeping


@pytest.fixture
def child(settings: Settings) -> Child:
    return Child(child_files(settings).status)


@pytest.fixture
def housekeeping(settings: Settings, child: Child) -> Housekeeping:
    return Housekeeping(
        settings=settings,
        app=make_app(settings),
        worker=NODE,
        profile="tiny",
        status_file=child.path,
        child_pid=lambda: child.pid,
        progress=child_files(settings).progress,
    )
