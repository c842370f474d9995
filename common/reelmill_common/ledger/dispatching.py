"""Dispatching: what runs next, and what is taken back because nobody works on it."""

from __future__ import annotations

from collections.abc import Sequence

from reelmill_common.jobs import RenderSpec
from reelmill_common.faults import RULES_JSON
from reelmill_common.ledger import side, views
from reelmill_common.ledger.records import Dispatch, Upcoming
from reelmill_common.ledger.side import TOUCH_MOST, Side

VANISHED_S = 60.0
"""Seconds after which the message of a dispatched job is taken for lost, and another is sent."""

_PUMP_MOST = 16  # jobs chosen by one script: about 1 ms of the server's time
_REAP_MOST = 1000  # jobs freed by one call of reap


class Dispatching(Side):
    """What anybody may do at any time: pump and reap."""

    def pump(self, lane: str, *, depth: int = 2) -> Sequence[Dispatch]:
        """Choose what a lane runs next, at the last moment, and mark it dispatched.

        Keeps `depth` jobs dispatched per live ready worker. Strict priority, then fair share by weighted virtual
        time between batches of equal priority, first come first served within a batch. Paused batches and batches
        at their cap are passed over. A more urgent job is dispatched even when the depth is used up by less urgent
        ones. Nothing is dispatched while no worker of the lane is ready.
        """
        chosen: list[Dispatch] = []
        while True:
            answer = self._server.run("pump", lane, depth, side.LIVE_S, _PUMP_MOST)
            chosen += [
                Dispatch(
                    job_id=job_id,
                    generation=int(generation),
                    lane=lane,
                    priority=int(priority),
                    label=views.label(spec),
                )
                for job_id, generation, priority, spec in answer
            ]
            if len(answer) < _PUMP_MOST:
                return chosen

    def upcoming(self, lane: str, *, count: int = 16) -> Upcoming:
        """Return what will probably be claimed next on a lane. Only looks: nothing is promised by it."""
        workers, specs = self._server.run("upcoming", lane, count, side.LIVE_S)
        return Upcoming(workers=workers, specs=[RenderSpec.from_json(spec) for spec in specs])

    def reap(self) -> int:
        """Take back expired leases and dispatched jobs whose message vanished; return how many jobs that freed."""
        total = 0
        while total < _REAP_MOST:
            touched: int = self._server.run("reap", VANISHED_S, side.LIVE_S, self._max_attempts, TOUCH_MOST, RULES_JSON)
            total += touched
            if touched < TOUCH_MOST:
                break
        return total
