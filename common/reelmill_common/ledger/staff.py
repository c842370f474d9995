"""Staff: how workers enter the ledger, say that they live, fall under quarantine and leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reelmill_common.ledger import side, views
from reelmill_common.ledger.records import WorkerView
from reelmill_common.ledger.side import Side, kept


class Staff(Side):
    """What workers say about themselves, and what is said about them."""

    def register(self, worker: str, lane: str, info: Mapping[str, Any]) -> None:
        """Enter a worker as `starting`; jobs leased to an earlier life of the same name are taken back at once.

        A worker under quarantine stays so: `beat` tells.
        """
        self._server.run("register", worker, lane, json.dumps(dict(info)), self._max_attempts)

    def ready(self, worker: str, info: Mapping[str, Any]) -> None:
        """Mark a worker `ready`: it counts for pump and may claim. Does not lift a quarantine, nor end a drain.

        Raises:
            NotFound: The worker is not registered.
        """
        self._of_worker("ready", worker, json.dumps(dict(info)))

    def quarantine(self, worker: str, reason: str) -> None:
        """Mark a worker unfit: it may not claim until `forgive`, whatever it does.

        Raises:
            NotFound: The worker is not registered.
        """
        self._of_worker("quarantine", worker, kept(reason))

    def forgive(self, worker: str) -> None:
        """Lift a quarantine; the worker must register again.

        Raises:
            NotFound: The worker is not registered.
        """
        self._of_worker("forgive", worker)

    def draining(self, worker: str) -> None:
        """Mark a worker as taking no more jobs; it finishes what it has.

        Raises:
            NotFound: The worker is not registered.
        """
        self._of_worker("drain", worker)

    def retire(self, worker: str) -> None:
        """Remove a worker that ended in order; whatever it still leased is given back without counting."""
        self._server.run("retire", worker)

    def beat(self, worker: str) -> WorkerView | None:
        """Say that a worker's parent lives; return how the ledger sees it, or None if it is not registered."""
        self._server.run("beat", worker)
        return next(
            (views.worker_view(answer, live_s=side.LIVE_S) for answer in self._server.run("workers", worker)), None
        )
