"""Deadlines: whether a batch is done by its `finish_by`, in a word and in a sentence."""

from __future__ import annotations

from reelmill_common.forecast import Course, paces_of
from reelmill_common.ledger import BatchView
from reelmill_producer.analysis.wait_texts import time_text
from reelmill_producer.client import Reelmill


def in_time(finish_by: float, finish_at: float | None) -> bool | None:
    """Return whether an end is in time; None if there is no deadline or no known end.

    Args:
        finish_by: The deadline in Unix seconds; 0: none.
        finish_at: The end, as it was or by the forecast; None if it is not known.
    """
    return None if not finish_by or finish_at is None else finish_at <= finish_by


def finish_of(farm: Reelmill, batch: BatchView) -> tuple[float | None, str]:
    """Return when a batch ended or will, in Unix seconds, and why that is not known; costs a forecast if it is open."""
    if batch.finished_at is not None or not batch.remaining:
        return batch.finished_at, ""
    course = Course(farm.ledger.overview.backlog(), paces_of(farm.ledger), depth=farm.settings.dispatch_depth)
    course.play()
    if batch.name not in course.names:  # it ended meanwhile
        return farm.batch(batch.name).finished_at, ""
    finish = course.finish_of(batch.name)
    return (None, course.unknown(batch.name)) if finish is None else (finish.timestamp(), "")


def deadline_text(batch: BatchView, finish_at: float | None, unknown: str = "") -> str:
    """Return whether a batch meets its deadline, to follow a sentence about it; empty if it has none.

    Args:
        batch: The batch.
        finish_at: Its end in Unix seconds, as it was or by the forecast; None if that is not known.
        unknown: Why it is not known.
    """
    if not batch.finish_by:
        return ""
    deadline = f"its deadline, {time_text(batch.finish_by, batch.window)}"
    if finish_at is None:
        return f"whether it meets {deadline}, is not known" + (f": {unknown}" if unknown else "")
    ended, late_s = batch.finished_at is not None, finish_at - batch.finish_by
    if late_s <= 0:
        return f"it {'met' if ended else 'will meet'} {deadline}"
    return f"it {'missed' if ended else 'will miss'} {deadline}, by {span_text(late_s)}"


def span_text(seconds: float) -> str:
    """Return a span of time for people, to the minute: `2 h 05 min`."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
