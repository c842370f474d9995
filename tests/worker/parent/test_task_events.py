"""Events of tasks: sent at first, and while Flower asks for them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker.control import Panel

from reelmill_worker.parent import task_events
from reelmill_worker.parent.task_events import COMMAND, TaskEvents


def test_they_are_sent_at_first_and_while_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Panel.data, COMMAND, None)
    dispatcher = SimpleNamespace(groups={"worker"})
    state = SimpleNamespace(consumer=SimpleNamespace(event_dispatcher=dispatcher))
    sent: list[bool] = []

    def look(events: TaskEvents) -> None:
        events.apply(dispatcher)
        sent.append("task" in dispatcher.groups)

    look(TaskEvents())
    monkeypatch.setattr(task_events, "ASKED_S", 0.0)
    events = TaskEvents()
    look(events)
    monkeypatch.setattr(task_events, "ASKED_S", 60.0)
    events.listen()
    Panel.data[COMMAND](state)
    look(events)

    assert sent == [True, False, True]
    assert "worker" in dispatcher.groups
