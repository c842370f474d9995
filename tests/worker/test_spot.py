"""A spot machine's notice: a real worker ends in the time that it has, and others render what it gave back."""

from __future__ import annotations

import time
from collections.abc import Callable

from fixtures.farm import Farm, RunningWorker, specs
from reelmill_common.jobs import JobState


def ended(farm: Farm, worker: RunningWorker) -> float:
    """Give notice to a worker; return the seconds until it has ended, in order and without a trace in the ledger."""
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(30) == 0
    took_s = time.monotonic() - began
    assert farm.ledger.workers.all() == []
    return took_s


def test_workers_that_are_taken_away_lose_and_double_nothing(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm()
    ids = farm.submit("night", specs(4))

    # A clip that is not measured is taken for 30 s: it would not be done, so it is given back at once.
    too_slow = farm.start(renderer="fixed:60", drain_s=12.0)
    farm.wait_count("night", JobState.RUNNING, 1)
    at_once_s = ended(farm, too_slow)
    # One of a second will be done: it is finished.
    quick = farm.start(renderer="fixed:1", drain_s=20.0)
    farm.wait_count("night", JobState.SUCCEEDED, 3)
    farm.wait_count("night", JobState.RUNNING, 1)
    ended(farm, quick)
    # One that takes longer than what was measured is cut off.
    (late,) = farm.submit("late", specs(1))
    stuck = farm.start(renderer="fixed:60", drain_s=5.0)
    farm.wait_count("late", JobState.RUNNING, 1)
    cut_off_s = ended(farm, stuck)

    assert at_once_s < 10
    assert [event["jobs"] for event in too_slow.events("worker.gave_back")] == [1]
    assert not quick.events("worker.gave_back")
    assert farm.ledger.batches.get("night").counts[JobState.SUCCEEDED] == 4
    assert farm.attempts(ids) == 4 + 1
    farm.assert_stored_once("night", ids)
    assert 3 < cut_off_s < 10
    assert [len(worker.events("worker.cut_off")) for worker in (too_slow, quick, stuck)] == [0, 0, 1]
    assert farm.ledger.jobs.get(late).state is JobState.QUEUED
