"""The autoscaler's memory: what a farm wanted of late, so that the number of its workers does not flap."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection

from reelmill_common.forecast.demand import Aims, may_run, workers_wanted
from reelmill_common.forecast.paces import Paces
from reelmill_common.ledger.backlog import Backlog


class Autoscaler:
    """Says how many workers each lane wants, now or not long ago. It starts no machine: KEDA and the like ask it.

    More is wanted at once, less after `Aims.hold_s`. When it starts it holds the workers that are there, so that a
    restart of its process ends none.

    Attributes:
        aims: What the farm aims at.
        wanted: Workers by lane, within the bounds; those that were wanted at the last look.
    """

    def __init__(self, aims: Aims | None = None) -> None:
        self.aims = aims or Aims()
        self.wanted: dict[str, int] = {}
        self._seen: deque[tuple[float, dict[str, int]]] = deque()
        self._runs_since: dict[str, tuple[float, int]] = {}

    def look(self, backlog: Backlog, paces: Paces, at_s: float) -> dict[str, int]:
        """Look at a farm at a time by any clock that only goes on; return `wanted`."""
        if not self._seen:
            self._seen.append((at_s, dict(Counter(hand.lane for hand in backlog.hands if hand.live))))
        ages = self._ages(backlog, at_s)
        self._seen.append((at_s, workers_wanted(backlog, paces, self.aims, ages)))
        while self._seen[0][0] < at_s - self.aims.hold_s:
            self._seen.popleft()
        lanes = {lane for _, wanted in self._seen for lane in wanted}
        self.wanted = {
            lane: self.aims.bounded(lane, max(wanted.get(lane, 0) for _, wanted in self._seen))
            for lane in sorted(lanes)
        }
        return self.wanted

    def sum_of(self, lanes: Collection[str]) -> int:
        """Return how many workers some lanes want together: those of one kind of machine, which serves them all."""
        total = sum(self.wanted.get(lane, self.aims.bounded(lane, 0)) for lane in set(lanes))
        return min(total, self.aims.most) if self.aims.most else total

    def _ages(self, backlog: Backlog, at_s: float) -> dict[str, float]:
        """Return for how long batches could run. One that got more jobs begins anew."""
        running: dict[str, tuple[float, int]] = {}
        for load in backlog.batches:
            if may_run(load, backlog.now):
                left = sum(load.left.values())
                since, before = self._runs_since.get(load.batch, (at_s, left))
                running[load.batch] = (at_s if left > before else since, left)
        self._runs_since = running
        return {name: at_s - since for name, (since, _) in running.items()}
