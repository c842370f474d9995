"""Messages: which of the sent tasks a worker takes first."""

from __future__ import annotations

from reelmill_common.forecast.messages import Messages
from reelmill_common.forecast.starts import Task


def test_the_most_urgent_comes_first_then_a_classs_then_the_oldest() -> None:
    messages = Messages()
    tasks = [
        Task(batch=batch, lane=lane, priority=priority, clips=1)
        for batch, lane, priority in (("a", "tiny", 5), ("b", "tiny", 5), ("c", "tiny@h100", 5), ("d", "tiny", 9))
    ]
    for task in tasks:
        messages.send(task)
    tasks[0].stale = True

    taken: list[str] = []
    while (task := messages.first(["tiny", "tiny@h100"])) is not None:
        messages.take(task)
        taken.append(task.batch)

    assert taken == ["d", "c", "b"]
    assert list(messages) == []
