"""Starts: what is counted before a job that is watched for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reelmill_common.forecast import Target
from reelmill_common.forecast.starts import Task, Watch

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def task(batch: str, priority: int, clips: int, first: int = 0) -> Task:
    return Task(batch=batch, lane="tiny", priority=priority, clips=clips, first=first)


def test_what_starts_before_a_job_is_counted_by_its_kind() -> None:
    watch = Watch(Target("", "night", "tiny", 5, before=7))

    for earlier in (task("urgent", 9, 3), task("other", 5, 2), task("late", 1, 1), task("night", 5, 6)):
        watch.note(earlier, NOW, 10.0)
    assert watch.found is None
    watch.note(task("night", 5, 4, first=6), NOW, 10.0)

    found = watch.found
    assert found is not None
    assert (found.above, found.beside, found.below, found.own) == ({9: 3}, {"other": 2}, 1, 7)
    assert (found.total, found.starts_at) == (13, NOW + timedelta(seconds=10))
