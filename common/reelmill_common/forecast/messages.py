"""Messages: Celery's queues simulated, one a lane, each in order of priority."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from itertools import count

from reelmill_common.contract import class_of
from reelmill_common.forecast.starts import Task


class Messages:
    """Messages that are sent and not yet taken, by lane. A stale task is dropped when it comes first."""

    def __init__(self) -> None:
        self._lanes: dict[str, list[tuple[int, int, Task]]] = defaultdict(list)
        self._serial = count()

    def __iter__(self) -> Iterator[Task]:
        """Yield all tasks that are not stale."""
        return (task for lane in self._lanes.values() for _, _, task in lane if not task.stale)

    def send(self, task: Task) -> None:
        """Put a task into its lane's queue."""
        heappush(self._lanes[task.lane], (-task.priority, next(self._serial), task))

    def first(self, lanes: Collection[str]) -> Task | None:
        """Return the most urgent task on any of the lanes; of equals one on a class's lane, then the oldest."""
        heads: list[tuple[int, bool, int, Task]] = []
        for lane in lanes:
            messages = self._lanes[lane]
            while messages and messages[0][2].stale:
                heappop(messages)
            if messages:
                urgency, serial, task = messages[0]
                heads.append((urgency, not class_of(lane), serial, task))
        return min(heads)[3] if heads else None

    def take(self, task: Task) -> None:
        """Remove the task that `first` returned."""
        heappop(self._lanes[task.lane])
