"""Farms on paper for the forecast's tests: batches, workers and what their clips take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from reelmill_common.forecast import Course, Paces
from reelmill_common.jobs import JobState, RenderSpec
from reelmill_common.ledger import JobView, Result
from reelmill_common.ledger.backlog import Backlog, BatchBacklog, WorkerCapacity

NOW = datetime(2026, 7, 1, 20, tzinfo=UTC)
SECONDS = 36.0
"""A clip: a worker makes a hundred an hour."""


def finished(seconds: float, worker: str = "", *, frames: int = 0) -> JobView:
    """Return a clip that took so long."""
    result = Result(key="k", sha256="", size_bytes=1, latents_sha256="", seconds={"denoise": seconds})
    return JobView(
        job_id="j",
        batch="b",
        row="r",
        state=JobState.SUCCEEDED,
        spec=RenderSpec(prompt="a fox", profile="tiny", frames=frames),
        priority=5,
        generation=1,
        attempts=1,
        worker=worker,
        result=result,
    )


def paces(*jobs: JobView) -> Paces:
    """Return the paces of some finished clips; by default each takes `SECONDS`."""
    found = Paces()
    for job in jobs or (finished(SECONDS),):
        found.add(job)
    return found


def load(batch: str, clips: int, **changes: Any) -> BatchBacklog:
    values = {"priority": 5, "weight": 1, "cap": 0, "paused": False, "shut": False, "window": "", "start": None}
    return BatchBacklog(**{"batch": batch, "after": (), "held": 0, "left": {"tiny": clips}, **values, **changes})


def backlog(*loads: BatchBacklog, workers: int = 1, window: str = "", **more: Any) -> Backlog:
    hands = [WorkerCapacity(lane="tiny", live=True, window=window)] * workers
    return Backlog(**{"now": NOW, "batches": loads, "hands": hands, **more})


def played(farm: Backlog, measured: Paces | None = None, by: datetime | None = None) -> Course:
    """Return the course of a farm, played to its end."""
    course = Course(farm, measured or paces())
    course.play(by)
    return course


def hours(farm: Backlog, measured: Paces | None = None) -> dict[str, float | None]:
    """Return how many hours from now each batch is done."""
    course = played(farm, measured)
    ends = {name: course.finish_of(name) for name in course.names}
    return {name: None if end is None else round((end - NOW) / timedelta(hours=1), 2) for name, end in ends.items()}
