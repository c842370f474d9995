"""Sends Celery's events of tasks only while Flower asks for them: they are three messages for each clip."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from celery.worker.control import Panel

ASKED_S: Final = 30.0
"""Seconds for which events are sent after a start, or after Flower asked; it asks each five seconds."""
GROUP: Final = "task"
COMMAND: Final = "enable_events"


@dataclass(slots=True)
class TaskEvents:
    """Whether events of tasks are sent. A worker sends them at first: a Flower that is there should miss none."""

    _until: float = field(default_factory=lambda: time.monotonic() + ASKED_S)

    def listen(self) -> None:
        """Take each `enable_events` of remote control as a sign that Flower listens."""
        Panel.data[COMMAND] = self._enable

    def apply(self, dispatcher: Any) -> None:
        """Let a consumer's event dispatcher send events of tasks, or not. Each new connection has a new one."""
        if dispatcher is None or not dispatcher.groups:
            return
        if time.monotonic() < self._until:
            dispatcher.groups.add(GROUP)
        else:
            dispatcher.groups.discard(GROUP)

    def _enable(self, state: Any, **_arguments: Any) -> dict[str, str]:
        self._until = time.monotonic() + ASKED_S
        self.apply(state.consumer.event_dispatcher)
        return {"ok": "task events enabled"}
