"""The overview: everything on a farm at one time, each view in a few round trips whatever the size of the farm."""

from __future__ import annotations

from dataclasses import dataclass

from reelmill_common.ledger import base
from reelmill_common.ledger.backlog import Backlog, read_backlog
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.snapshot import FarmSnapshot, per_h, read_snapshot
from reelmill_common.ledger.stats import QueueStats, read_stats

JOB_BYTES = 1100
"""Memory of a job that has ended, with a prompt of usual length (Valkey 9.1; `docs/scale.md`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of the Redis server.

    Attributes:
        limit_bytes: `maxmemory`: beyond it writes are refused. 0: no limit.
        clips_per_h: Pace at which clips are made, and jobs remain.
    """

    used_bytes: int
    limit_bytes: int
    clips_per_h: float = 0.0

    def is_short(self, share: float) -> bool:
        """Return whether more than a share of the limit is used."""
        return bool(self.limit_bytes) and self.used_bytes > share * self.limit_bytes

    @property
    def full_in_s(self) -> float | None:
        """Seconds until the limit at that pace, if nothing is forgotten meanwhile; None without a limit or a pace."""
        if not self.limit_bytes or not self.clips_per_h:
            return None
        return max(0, self.limit_bytes - self.used_bytes) / (self.clips_per_h * JOB_BYTES) * 3600


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
        return read_backlog(self._server, self._keys)

    def memory(self) -> Memory:
        """Return how much memory the server uses, how much it may, and at which pace that grows."""
        (info,) = self._server.read([("INFO", "memory")])
        stored, _, span_ms = self._server.run("rates")
        return Memory(
            used_bytes=int(info["used_memory"]),
            limit_bytes=int(info.get("maxmemory", 0)),
            clips_per_h=per_h(stored, span_ms / 1000),
        )
