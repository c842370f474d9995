"""The thread that every service runs on, begun, woken and closed in one way; and what logs a repeated error once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

MOST_REMEMBERED = 100
"""Distinct errors that are remembered: a message with a number in it must not fill the memory."""


@dataclass(slots=True, kw_only=True)
class BackgroundThread:
    """A daemon thread that works in rounds until it is closed. A round that raises does not end it.

    Attributes:
        name: Name of the thread.
        work: Does one round.
        every_s: Seconds between two rounds, and before the first; None: a round is made only after `wake`. A round may
            change it.
        at_once: Whether the first round is made without waiting.
        on_error: Called with what a round raised.
        at_end: Called on the thread when it ends.
        closing: Set by `close`, for whatever has to stop in the middle of a round.
    """

    name: str
    work: Callable[[], object]
    every_s: float | None = None
    at_once: bool = False
    on_error: Callable[[Exception], None] | None = None
    at_end: Callable[[], None] = lambda: None
    closing: threading.Event = field(default_factory=threading.Event)
    _woken: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def is_started(self) -> bool:
        """Whether `start` was called."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, once; a later call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name=self.name, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Have the next round made now, or right after the present one; returns at once."""
        self._woken.set()

    def close(self, timeout_s: float | None = None) -> None:
        """Make no further round, and wait for the present one at most so long; 0: not at all."""
        self.closing.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def run(self) -> None:
        """Work on the caller's thread until `close`."""
        ends = self._ends_within(0.0 if self.at_once else self.every_s)
        while not ends:
            try:
                self.work()
            except Exception as err:
                if self.on_error is None:
                    log.exception("thread.failed", thread=self.name)
                else:
                    self.on_error(err)
            ends = self._ends_within(self.every_s)
        self.at_end()

    def _ends_within(self, pause_s: float | None) -> bool:
        self._woken.wait(pause_s)
        self._woken.clear()
        return self.closing.is_set()


@dataclass(slots=True)
class ErrorLog:
    """Remembers which errors were logged, so that each is logged once until whatever failed succeeds again."""

    _logged: set[str] = field(default_factory=set[str])

    def is_new(self, error: str) -> bool:
        """Return whether an error has not been met since `clear`, and remember it."""
        if error in self._logged:
            return False
        if len(self._logged) >= MOST_REMEMBERED:
            self._logged.clear()
        self._logged.add(error)
        return True

    def clear(self) -> bool:
        """Forget all errors after a success; return whether there were any."""
        failed = bool(self._logged)
        self._logged.clear()
        return failed
