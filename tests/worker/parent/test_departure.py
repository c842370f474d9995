"""The end of a worker: what it can finish it keeps, the rest goes back at once, and it ends before its machine does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from common.ledger_steps import WORKER, begin, start_worker, submit
from fixtures.valkey import wait_for
from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Ledger, WorkerState
from reelmill_worker.parent.departure import CUT_OFF_S, Departure


@pytest.fixture
def interrupted() -> list[str]:
    """Grows by one with each interruption of the child."""
    return []


@pytest.fixture
def leave(ledger: Ledger, interrupted: list[str]) -> Callable[[float], Departure]:
    """Return a maker of the departure of a worker that has a clip in hand, begun, by the seconds that it has."""

    def make(drain_s: float) -> Departure:
        submit(ledger, "night", 1)
        start_worker(ledger)
        begin(ledger)
        departure = Departure(
            worker=WORKER, drain_s=drain_s, connect=lambda: ledger, interrupt_child=lambda: interrupted.append("child")
        )
        departure.begin()
        return departure

    return make


def states(ledger: Ledger) -> tuple[WorkerState | None, JobState]:
    """Return the state of the worker, None without one, and that of its clip."""
    worker = next((view.state for view in ledger.workers.all()), None)
    return worker, next(state for state, count in ledger.batches.get("night").counts.items() if count)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the process is an exception, or the test would end with it."""
    monkeypatch.setattr(os, "_exit", sys.exit)


@pytest.mark.parametrize(
    ("drain_s", "kept"),
    [
        pytest.param(0.0, True, id="no limit"),
        pytest.param(600.0, True, id="time enough"),
        pytest.param(CUT_OFF_S + 5.0, False, id="too little time for a clip"),
    ],
)
def test_a_clip_goes_back_at_once_if_it_cannot_be_finished_in_time(
    leave: Callable[[float], Departure], ledger: Ledger, interrupted: list[str], drain_s: float, kept: bool
) -> None:
    departure = leave(drain_s)

    departure.look(registered=True)
    departure.look(registered=True)

    assert states(ledger) == (WorkerState.DRAINING, JobState.RUNNING if kept else JobState.QUEUED)
    assert interrupted == ([] if kept else ["child"])


def test_a_drain_is_recorded_only_when_the_worker_is_registered(
    leave: Callable[[float], Departure], ledger: Ledger
) -> None:
    departure = leave(0.0)

    departure.look(registered=False)
    before = states(ledger)[0]
    departure.look(registered=True)

    assert (before, states(ledger)[0]) == (WorkerState.READY, WorkerState.DRAINING)


def test_a_worker_that_was_forgotten_leaves_in_peace(
    leave: Callable[[float], Departure], ledger: Ledger, interrupted: list[str]
) -> None:
    departure = leave(0.0)
    ledger.workers.retire(WORKER)

    departure.look(registered=True)

    assert (states(ledger), interrupted) == ((None, JobState.QUEUED), [])


@pytest.mark.usefixtures("exits")
def test_the_process_ends_before_the_machine_and_gives_back_what_it_has(
    leave: Callable[[float], Departure], ledger: Ledger
) -> None:
    departure = leave(CUT_OFF_S + 0.2)

    with pytest.raises(SystemExit) as ended:
        wait_for(lambda: departure.look(registered=False), timeout_s=10, what="the end")

    assert ended.value.code == 0
    assert states(ledger) == (None, JobState.QUEUED)


@pytest.mark.usefixtures("exits")
def test_the_process_ends_in_time_though_redis_does_not_answer() -> None:
    def connect() -> Ledger:
        raise LedgerUnavailable("Redis does not answer")

    departure = Departure(worker=WORKER, drain_s=CUT_OFF_S, connect=connect, interrupt_child=lambda: None)
    departure.begin()

    with pytest.raises(SystemExit):
        departure.look(registered=True)
