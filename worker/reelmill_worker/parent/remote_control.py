"""Restricts Celery's remote control to what Flower needs to show workers; the rest is refused and logged.

Every client that has Redis' password can send these commands. `pool_shrink` takes the process with the model from an
idle worker for good, `shutdown` and `terminate` end one, `cancel_consumer` starves one, `time_limit` and `revoke` fail
its jobs.
What a farm needs of that goes through the ledger: `reelmill cancel`, `pause`, a signal to `reelmill worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.control import Panel

from reelmill_common.services.background import ErrorLog

log = structlog.get_logger(__name__)

KEPT = frozenset(
    {
        *("stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf"),
        *("ping", "enable_events", "heartbeat"),
    }
)
"""They change nothing about rendering. The first eight are what Flower 2.2 asks for (`flower/inspector.py`)."""


def restrict() -> None:
    """Have this process refuse every other command."""
    for name in Panel.data.keys() - KEPT:
        Panel.data[name] = _refusal(name)


def _refusal(name: str) -> Callable[..., dict[str, str]]:
    errors = ErrorLog()

    def refuse(_state: Any, **_arguments: Any) -> dict[str, str]:
        if errors.is_new(name):  # a flood of commands must not flood the log
            log.warning("control.refused", command=name)
        return {"error": f"{name} is off on the workers of Reelmill; use `reelmill cancel`, `pause` or a signal"}

    return refuse
