"""The timetable: what is due at a time. Windows open and close, workers rest, schedules run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from reelmill_common.calendar.timestamps import from_milliseconds, milliseconds
from reelmill_common.calendar.windows import Windows
from reelmill_common.ledger.base import LedgerPart, recall
from reelmill_common.ledger.records import WorkerState

DUE_MOST = 50
"""Windows, schedules and runs that one round looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is due now.

    Attributes:
        now: Redis' clock, in UTC.
        windows: Batch, window as written, and Unix ms of its change as Redis writes it.
        schedules: Name, and Unix ms of the run likewise.
        runs: Batches of runs that no process submits now.
    """

    now: datetime
    windows: Sequence[tuple[str, str, str]]
    schedules: Sequence[tuple[str, str]]
    runs: Sequence[str]


class Timetable(LedgerPart):
    """Windows and schedules. All times are on Redis' clock."""

    def now(self) -> datetime:
        """Return the time on Redis' clock, in UTC."""
        return self._now()

    def due(self) -> Due:
        """Ask what is due; changes nothing."""
        now, windows, schedules, runs = self._server.run("due", DUE_MOST)
        return Due(
            now=from_milliseconds(now),
            windows=list(zip(windows[::3], windows[1::3], windows[2::3], strict=True)),
            schedules=list(zip(schedules[::2], schedules[1::2], strict=True)),
            runs=runs,
        )

    def set_window(self, batch: str, window: str) -> None:
        """Give a batch a window, or none (empty); acts on the next clip that starts.

        Raises:
            NotFound: No such batch.
            InvalidJob: It is not a window.
        """
        self._of_batch("window", batch, window and Windows.parse(window).text, *window_state(window, self._now()))
        recall(self._server)

    def update_windows(self, due: Due | None = None) -> int:
        """Open and close the batches whose windows changed; return how many that were."""
        due = due or self.due()
        calls = [(batch, window, change, *window_state(window, due.now)) for batch, window, change in due.windows]
        return sum(self._server.run_pages("update_window", calls))

    def keep_hours(self, worker: str, window: str, now: datetime) -> WorkerState | None:
        """Let a worker rest or work by its own window; return its state, or None if it is not registered.

        It rests, too, as soon as a clip would not be done before the window closes.
        """
        until = _open_until(window, now)
        state = self._server.run("hours", worker, until, window)
        return None if state is None else WorkerState(state)


def _open_until(window: str, now: datetime) -> str:
    """Return Unix ms at which an open window closes; empty if it never does, `0` if it is closed."""
    windows = Windows.parse(window) if window else None
    if windows is None:
        return ""
    if not windows.open_at(now):
        return "0"
    closes = windows.next_change(now)
    return "" if closes is None else str(milliseconds(closes))


@lru_cache(maxsize=256)  # many batches have the same window
def window_state(window: str, now: datetime) -> tuple[str, str | int]:
    """Return what the functions need of a window: `1` if it is closed, and Unix ms of its next change or nothing."""
    if not window:
        return "0", ""
    windows = Windows.parse(window)
    change = windows.next_change(now)
    return "0" if windows.open_at(now) else "1", "" if change is None else milliseconds(change)
