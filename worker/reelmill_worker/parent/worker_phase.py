"""The phases of a worker as its parent knows them, and the table of what leads from one to another."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import Enum, auto

from reelmill_common.ledger import WorkerState


class WorkerPhase(Enum):
    """What the worker is doing. Only a `READY` one consumes its lanes."""

    STARTING = auto()
    """The present child has not passed its gate, or the ledger does not have it as ready."""
    READY = auto()
    RESTING = auto()
    """Outside of the worker's own window, whatever its child is doing."""
    PAUSED = auto()
    """Paused by hand, whatever its child is doing."""
    SUSPENDED = auto()
    """Quarantined for failed jobs, until the ledger forgives."""
    DRAINING = auto()
    """Asked to end: takes no more jobs, and finishes what it has."""
    RESTARTING = auto()
    """The event loop is to end the parent, for the supervisor to start it again."""
    UNFIT = auto()
    """The event loop is to end the parent for good."""

    @property
    def state(self) -> WorkerState:
        """The worker's state as metrics show it."""
        return _STATES[self]


class PhaseEvent(Enum):
    """What changes a worker's phase."""

    CHILD_READY = auto()
    """The present child passed its gate, and is on record as ready."""
    CHILD_GONE = auto()
    """The child died, or the ledger has no record of the worker any more."""
    REST = auto()
    """The worker's window is closed."""
    PAUSE = auto()
    """The worker is paused by hand."""
    RELEASE = auto()
    """The window is open, and the worker is not paused by a person."""
    SUSPEND = auto()
    """The ledger has the worker in a quarantine from which it may return."""
    FORGIVE = auto()
    """That quarantine is over."""
    DRAIN = auto()
    """A signal asked the parent to end."""
    RESTART = auto()
    """The parent cannot go on as it is: its pool is empty, or it fetches nothing."""
    GIVE_UP = auto()
    """The worker may not return by itself."""


_STATES: Mapping[WorkerPhase, WorkerState] = {
    WorkerPhase.STARTING: WorkerState.STARTING,
    WorkerPhase.READY: WorkerState.READY,
    WorkerPhase.RESTING: WorkerState.RESTING,
    WorkerPhase.PAUSED: WorkerState.PAUSED,
    WorkerPhase.SUSPENDED: WorkerState.QUARANTINED,
    WorkerPhase.DRAINING: WorkerState.DRAINING,
    WorkerPhase.RESTARTING: WorkerState.STARTING,
    WorkerPhase.UNFIT: WorkerState.QUARANTINED,
}

_AT_WORK = (WorkerPhase.STARTING, WorkerPhase.READY, WorkerPhase.RESTING, WorkerPhase.PAUSED)

TRANSITIONS: Mapping[PhaseEvent, Mapping[WorkerPhase, WorkerPhase]] = {
    PhaseEvent.CHILD_READY: {WorkerPhase.STARTING: WorkerPhase.READY},
    PhaseEvent.CHILD_GONE: {WorkerPhase.READY: WorkerPhase.STARTING},
    PhaseEvent.REST: dict.fromkeys(_AT_WORK, WorkerPhase.RESTING),
    PhaseEvent.PAUSE: dict.fromkeys(_AT_WORK, WorkerPhase.PAUSED),
    # Not at once to `READY`: its child may have changed meanwhile, and is looked at first.
    PhaseEvent.RELEASE: dict.fromkeys((WorkerPhase.RESTING, WorkerPhase.PAUSED), WorkerPhase.STARTING),
    PhaseEvent.SUSPEND: dict.fromkeys(_AT_WORK, WorkerPhase.SUSPENDED),
    PhaseEvent.FORGIVE: {WorkerPhase.SUSPENDED: WorkerPhase.STARTING},
    PhaseEvent.DRAIN: dict.fromkeys((*_AT_WORK, WorkerPhase.SUSPENDED, WorkerPhase.RESTARTING), WorkerPhase.DRAINING),
    PhaseEvent.RESTART: dict.fromkeys((*_AT_WORK, WorkerPhase.SUSPENDED), WorkerPhase.RESTARTING),
    PhaseEvent.GIVE_UP: dict.fromkeys(WorkerPhase, WorkerPhase.UNFIT),
}
"""The phase that follows, by event and present phase. An event that has no entry for a phase changes nothing."""


class PhaseMachine:
    """A worker's present phase. The thread of the housekeeping changes it, and a signal handler."""

    def __init__(self, phase: WorkerPhase) -> None:
        """Begin in a phase."""
        self.phase = phase
        self._lock = threading.Lock()  # the event loop reads without it, so a handler cannot wait for its own thread

    def on(self, event: PhaseEvent) -> bool:
        """Take an event; return whether the phase has changed."""
        with self._lock:
            before = self.phase
            self.phase = TRANSITIONS[event].get(before, before)
            return self.phase is not before
