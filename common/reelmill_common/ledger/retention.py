"""Retention: what the ledger forgets, in small steps, and what it remembers of where that was archived."""

from __future__ import annotations

from enum import StrEnum

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.ledger.base import LedgerPart, pages_of
from reelmill_common.ledger.records import BatchView

PRUNE_MOST = 100
"""Jobs deleted by one call. For 200 the median is 5.2 ms of the server's time, on two busy cores (Valkey 9.1)."""


class Pruned(StrEnum):
    """What became of a batch that was to be forgotten."""

    PRUNED = "pruned"
    GOES_ON = "goes_on"
    AWAITED = "awaited"


class Retention(LedgerPart):
    """Forgets batches that have ended and workers that are gone, and remembers archives."""

    def prune_batch(self, view: BatchView) -> Pruned:
        """Forget a batch that has ended, and all its jobs; its clips stay where they are.

        In many short calls. If it is cut off the batch is there with fewer jobs, and can be pruned again. Left alone
        are a batch that goes on, or has ended anew since it was looked at, and one that other batches wait for.
        """
        left = 1
        while left > 0:
            left = self._server.run("prune", view.name, _ended_ms(view), PRUNE_MOST)
        return {0: Pruned.PRUNED, -1: Pruned.GOES_ON, -2: Pruned.AWAITED}[left]

    def forget_job(self, job_id: str) -> None:
        """Forget one job that has ended; its clip stays where it is.

        Raises:
            NotFound: No such job.
            InvalidJob: It has not ended.
        """
        answer = self._server.run("forget_job", job_id)
        if answer == 0:
            raise NotFound(f"no job {job_id}")
        if answer < 0:
            raise InvalidJob(f"job {job_id} has not ended; cancel it first")

    def take_prune(self, *, turn_s: float) -> bool:
        """Take the right to prune automatically; False if another process took it within so many seconds."""
        return bool(self._server.run("prune_take", turn_s))

    def prune_workers(self, silent_s: float) -> list[str]:
        """Forget workers that have been silent for so long; return their names."""
        before_ms = int((self._now().timestamp() - silent_s) * 1000)
        (names,) = self._server.read([("SMEMBERS", self._keys.workers)])
        pages = [(before_ms, *page) for page in pages_of(sorted(names), PRUNE_MOST)]
        return [name for answer in self._server.run_pages("prune_workers", pages) for name in answer]

    def mark_archived(self, view: BatchView, key: str) -> bool:
        """Note where a batch's archive is; False if the batch has gone on since it was looked at."""
        return bool(self._server.run("archived", view.name, _ended_ms(view), key))

    def archive_of(self, view: BatchView) -> str:
        """Return the key of a batch's archive, or nothing if there is none of how it is now."""
        (noted,) = self._server.read([("HGET", self._keys.batch(view.name), "archived")])
        ended, _, key = (noted or "").partition(" ")
        return key if ended == _ended_ms(view) else ""


def _ended_ms(view: BatchView) -> str:
    return "" if view.finished_at is None else str(round(view.finished_at * 1000))
