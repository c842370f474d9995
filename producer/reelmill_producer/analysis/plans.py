"""Plans: when each batch will be done by the forecast, and what will not be done by a given time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from reelmill_common.contract import profile_of
from reelmill_common.forecast import Aims, ClipPace, Course, Paces, paces_of, workers_wanted
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.backlog import Backlog, BatchBacklog


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The forecast of a batch.

    Attributes:
        remaining: Jobs that have not ended now.
        finish_at: When the last of them is done; None if that is not known.
        left: Jobs that will not be done by the time `by` of the plan; all of them where nothing is known.
        why: Why the finish is not known; empty otherwise.
        window: Hours in which the batch may run; empty: always.
    """

    batch: str
    priority: int
    remaining: int
    finish_at: datetime | None
    left: int
    why: str
    window: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePace:
    """The workers of a lane and their measured pace.

    Attributes:
        workers: Live workers, also those that rest until their window opens.
        pace: The measured pace; None where no clip has finished.
        wanted: Workers that its work needs to be done in time (`forecast/demand.py`).
    """

    lane: str
    workers: int
    pace: ClipPace | None
    wanted: int = 0

    @property
    def clips_per_hour(self) -> float | None:
        """Clips per hour of all its workers together; None if that is not known."""
        return self.workers * 3600 / self.pace.seconds if self.pace is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmForecast:
    """The forecast of all batches that are not done.

    Attributes:
        now: Redis' clock, in UTC.
        by: The time at which what is left is counted, or None.
    """

    now: datetime
    by: datetime | None
    batches: Sequence[Forecast]
    lanes: Sequence[LanePace]

    @property
    def left(self) -> int:
        """Jobs that will not be done by `by`."""
        return sum(forecast.left for forecast in self.batches)

    def record(self) -> dict[str, Any]:
        """Return it as plain data; times are Unix seconds."""
        return {
            "now": self.now.timestamp(),
            "by": None if self.by is None else self.by.timestamp(),
            "left": self.left,
            "batches": [
                {**asdict(one), "finish_at": None if one.finish_at is None else one.finish_at.timestamp()}
                for one in self.batches
            ],
            "lanes": [
                {
                    "lane": lane.lane,
                    "workers": lane.workers,
                    "wanted": lane.wanted,
                    "seconds_per_clip": None if lane.pace is None else lane.pace.seconds,
                    "measured_clips": 0 if lane.pace is None else lane.pace.clips,
                    "clips_per_hour": lane.clips_per_hour,
                }
                for lane in self.lanes
            ],
        }


def plan_of(ledger: Ledger, by: datetime | None = None, *, depth: int = 2, aims: Aims | None = None) -> FarmForecast:
    """Forecast what a farm has to do now. `depth` and `aims` are those of its settings."""
    return make_plan(ledger.overview.backlog(), paces_of(ledger), by, depth=depth, aims=aims)


def make_plan(
    backlog: Backlog, paces: Paces, by: datetime | None = None, *, depth: int = 2, aims: Aims | None = None
) -> FarmForecast:
    """Forecast a backlog at some paces."""
    lanes = sorted({lane for load in backlog.batches for lane in load.left} | {worker.lane for worker in backlog.hands})
    live = {lane: sum(worker.live and worker.serves(lane) for worker in backlog.hands) for lane in lanes}
    aims = aims or Aims()
    wanted = workers_wanted(backlog, paces, aims)
    measured = [
        LanePace(
            lane=lane,
            workers=live[lane],
            pace=paces.of_profile(profile_of(lane)),
            wanted=aims.bounded(lane, wanted.get(lane, 0)),
        )
        for lane in lanes
    ]
    course = Course(backlog, paces, depth=depth)
    course.play(by)
    return FarmForecast(
        now=backlog.now,
        by=by,
        batches=[_forecast(load, course, by) for load in backlog.batches],
        lanes=measured,
    )


def _forecast(load: BatchBacklog, course: Course, by: datetime | None) -> Forecast:
    why = course.unknown(load.batch)
    left = 0 if by is None else course.left_by.get(load.batch, 0)
    return Forecast(
        batch=load.batch,
        priority=load.priority,
        remaining=sum(load.left.values()) + load.held,
        finish_at=None if why else course.finished[load.batch],
        # Where nothing is known all is left, whatever was simulated.
        left=left if by is None or course.is_measured(load.batch) else sum(load.left.values()) + load.held,
        why=why,
        window=load.window,
    )
