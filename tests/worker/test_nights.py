"""Nights of a real worker: what it and its batches start ends inside their windows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fixtures.farm import Farm, specs
from fixtures.valkey import wait_for
from reelmill_common.calendar.timestamps import from_milliseconds
from reelmill_common.calendar.windows import Windows
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import JobView


def openings(start: datetime, *, every_s: int, open_s: int) -> str:
    """Return a window that opens for some seconds again and again, for the next minutes."""
    begins = [start + timedelta(seconds=every_s * number) for number in range(25)]
    spans = [f"{begin:%H:%M:%S}-{begin + timedelta(seconds=open_s):%H:%M:%S}" for begin in begins]
    return f"{' '.join(spans)} UTC"


def is_inside(job: JobView, window: str) -> bool:
    """Whether a clip was begun and stored within one and the same opening."""
    assert job.started_at is not None
    assert job.finished_at is not None
    windows, begun = Windows.parse(window), from_milliseconds(job.started_at * 1000)
    shuts = windows.next_change(begun)
    return windows.open_at(begun) and shuts is not None and job.finished_at <= shuts.timestamp()


def event_names(farm: Farm) -> set[str]:
    return {event.name for event in farm.ledger.events.read(after="0", count=10_000)}


def test_every_clip_ends_inside_the_windows_of_its_worker_and_of_its_batch(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.2")
    now = farm.ledger.timetable.now()
    own, night = openings(now, every_s=9, open_s=5), openings(now, every_s=7, open_s=4)
    # What the farm has measured before: without it, a clip may take 30 s, and none is begun.
    farm.ledger._server._redis.hset(f"{farm.ledger._keys.prefix}lane:tiny", mapping={"pace": 500, "spread": 100})
    farm.submit("always", specs(400))
    jobs = [RenderJob(batch="night", row=f"{number:04d}", spec=spec) for number, spec in enumerate(specs(400))]
    farm.ledger.batches.submit(Batch(name="night", window=night), jobs)

    farm.start(ready=False, worker_window=own)
    farm.wait_count("always", JobState.SUCCEEDED, 5)
    farm.wait_count("night", JobState.SUCCEEDED, 2)
    wait_for(lambda: "worker.rested" in event_names(farm) and "worker.woke" in event_names(farm))

    done = {batch: farm.ledger.jobs.page(batch, states=[JobState.SUCCEEDED]) for batch in ("always", "night")}
    assert [job.row for job in (*done["always"], *done["night"]) if not is_inside(job, own)] == []
    assert [job.row for job in done["night"] if not is_inside(job, night)] == []
    assert farm.attempts([job.job_id for job in done["night"]]) == len(done["night"])
