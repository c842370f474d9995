"""Flower's columns of a render."""

from __future__ import annotations

from celery.events.state import Task

from reelmill_producer.dashboards.flower_columns import format_task


def test_arguments_that_are_not_a_renders_are_shown_as_they_came() -> None:
    cut = Task(uuid="1", name="reelmill.render", kwargs="{'job_id': 'abc', 'label': 'a fo...")
    other = Task(uuid="2", name="celery.ping", kwargs="{}")
    older = Task(uuid="3", name="reelmill.render", kwargs="{'job_id': 'abc'}")

    assert [format_task(task).kwargs for task in (cut, other, older)] == [cut.kwargs, "{}", "{'job_id': 'abc'}"]
