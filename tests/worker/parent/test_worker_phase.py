"""The table of a worker's phases: every event in every phase."""

from __future__ import annotations

import pytest

from reelmill_common.ledger import WorkerState
from reelmill_worker.parent.worker_phase import PhaseEvent, PhaseMachine, WorkerPhase

PHASES = ("starting", "ready", "resting", "paused", "suspended", "draining", "restarting", "unfit")
TABLE = """
             starting   ready      resting    paused     suspended  draining   restarting unfit
child_ready  ready      .          .          .          .          .          .          .
child_gone   .          starting   .          .          .          .          .          .
rest         resting    resting    .          resting    .          .          .          .
pause        paused     paused     paused     .          .          .          .          .
release      .          .          starting   starting   .          .          .          .
suspend      suspended  suspended  suspended  suspended  .          .          .          .
forgive      .          .          .          .          starting   .          .          .
drain        draining   draining   draining   draining   draining   .          draining   .
restart      restarting restarting restarting restarting restarting .          .          .
give_up      unfit      unfit      unfit      unfit      unfit      unfit      unfit      .
"""
ROWS = {row[0]: row[1:] for row in (line.split() for line in TABLE.strip().splitlines()[1:])}


def test_the_table_names_every_phase_and_every_event() -> None:
    assert tuple(phase.name.lower() for phase in WorkerPhase) == PHASES
    assert list(ROWS) == [event.name.lower() for event in PhaseEvent]


@pytest.mark.parametrize("event", PhaseEvent)
@pytest.mark.parametrize("phase", WorkerPhase)
def test_an_event_leads_to_the_phase_of_the_table(phase: WorkerPhase, event: PhaseEvent) -> None:
    expected = ROWS[event.name.lower()][PHASES.index(phase.name.lower())]
    machine = PhaseMachine(phase)

    changed = machine.on(event)

    assert (machine.phase.name.lower(), changed) == (
        (phase.name.lower(), False) if expected == "." else (expected, True)
    )


def test_metrics_show_a_state_for_every_phase() -> None:
    shown = {phase: phase.state for phase in WorkerPhase}

    assert len(shown) == len(PHASES)
    assert {phase for phase, state in shown.items() if state is WorkerState.READY} == {WorkerPhase.READY}
    assert shown[WorkerPhase.SUSPENDED] is shown[WorkerPhase.UNFIT] is WorkerState.QUARANTINED
