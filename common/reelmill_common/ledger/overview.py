"""The overview: everything on a farm at one time, each view in a few round trips whatever the size of the farm."""

from __future__ import annotations

from dataclasses import dataclass

from reelmill_common.ledger import base
from reelmill_common.ledger.backlog import Backlog, read_backlog
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.snapshot import FarmSnapshot, read_snapshot
from reelmill_common.ledger.stats import QueueStats, read_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of the Redis server.

    Attributes:
        limit_bytes: `maxmemory`: beyond it writes are refused. 0: no limit.
    """

    used_bytes: int
    limit_bytes: int


class Overview(LedgerPart):
    """Reads the whole farm at once, and changes nothing."""

    def snapshot(self) -> FarmSnapshot:
        """Return what runs now, for a live view: four round trips, whatever the size of the farm."""
        return read_snapshot(self._server, self._keys, live_s=base.LIVE_S)

    def stats(self) -> QueueStats:
        """Count what waits, runs and has ended: for metrics, which name no batch and no job."""
        return read_stats(self._server, self._keys)

    def backlog(self) -> Backlog:
        """Return what is left to do, the workers that are there for it, and the order in which it will run."""
        return read_backlog(self._server.run("backlog"))

    def memory(self) -> Memory:
        """Return how much memory the server uses, and how much it may."""
        (info,) = self._server.read([("INFO", "memory")])
        return Memory(used_bytes=int(info["used_memory"]), limit_bytes=int(info.get("maxmemory", 0)))
