"""Celery's remote control, of which a worker keeps what Flower shows workers by; the rest is refused with a line.

Whoever has Redis' password can send these commands. `pool_shrink` takes the process with the model from an idle worker
for good, `shutdown` and `terminate` end one, `cancel_consumer` starves one, `time_limit` and `revoke` fail its jobs.
What a farm needs of that is asked of the ledger: `reelmill cancel`, `pause`, a signal to `reelmill worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.control import Panel

log = structlog.get_logger(__name__)

KEPT = frozenset(
    {
        *("stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf"),
        *("ping", "enable_events", "heartbeat"),
    }
)
"""They change nothing that renders. The first eight are what Flower 2.2 asks for (`flower/inspector.py`)."""


def restrict() -> None:
    """Let this process refuse every other command."""
    for name in Panel.data.keys() - KEPT:
        Panel.data[name] = _refusal(name)


def _refusal(name: str) -> Callable[..., dict[str, str]]:
    told: list[str] = []

    def refuse(_state: Any, **_arguments: Any) -> dict[str, str]:
        if not told:  # once: a flood of commands is no flood of lines
            log.warning("control.refused", command=name)
        told[:] = [name]
        return {"error": f"{name} is off on the workers of Reelmill; use `reelmill cancel`, `pause` or a signal"}

    return refuse
