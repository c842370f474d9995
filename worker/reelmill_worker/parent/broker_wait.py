"""Waits for a broker that is gone or refuses: the parent connects again when it takes writes, and not before.

Celery by itself connects to any server that answers, fails at its first write, and tries again at once, with a log line
each time. It tries a server that does not answer less and less often, up to 30 s later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog
from celery import bootsteps
from celery.worker.state import maybe_shutdown

from reelmill_common.broker import keyprefix
from reelmill_common.ledger.primary import open_client
from reelmill_common.ledger.refusals import denied, explain
from reelmill_common.ledger.rights import missing
from reelmill_common.ledger.server import PROMPT, address_of
from reelmill_common.services.background import ErrorLog
from reelmill_common.settings import Settings

log = structlog.get_logger(__name__)

LOOK_S = 0.5
"""Seconds between two looks at a server that does not serve."""
APART_S = 1.0
"""Least time between two connections: an error that a look does not find must not be met many times a second."""


@dataclass(slots=True, kw_only=True)
class BrokerWait:
    """Tests whether the broker serves, by a write that leaves nothing behind."""

    settings: Settings
    _errors: ErrorLog = field(default_factory=ErrorLog)
    _connected_at: float = field(default=float("-inf"))

    def until_it_serves(self) -> None:
        """Return when the broker takes writes; log once why it does not, and once that it does again.

        Raises:
            WorkerShutdown, WorkerTerminate: The parent was asked to end.
        """
        while time.monotonic() < self._connected_at + APART_S:
            self._pause()
        while problem := self._problem():
            if self._errors.is_new(problem):
                log.warning("broker.lost", error=problem)
            self._pause()
        if self._errors.clear():
            log.info("broker.returned")
        self._connected_at = time.monotonic()

    def _problem(self) -> str:
        address = address_of(self.settings)
        place = str(address)
        try:
            with open_client(address, **PROMPT.options()) as client:
                client.set(f"{keyprefix(self.settings.farm)}probe", 1, px=1)
                lacking = missing(client, self.settings.farm, address.db)
        except (redis.RedisError, OSError) as err:
            return str(explain(err, place, tls=address.tls is not None) or err)
        return str(denied(place, lacking)) if lacking else ""

    def _pause(self) -> None:
        maybe_shutdown()
        time.sleep(LOOK_S)


def broker_wait_step(settings: Settings) -> type[bootsteps.StartStopStep]:
    """Return the consumer's step that waits before each of its connections."""
    wait = BrokerWait(settings=settings)

    class BrokerWaitStep(bootsteps.StartStopStep):
        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            connect = parent.connect

            def connect_when_it_serves() -> Any:
                wait.until_it_serves()
                return connect()

            parent.connect = connect_when_it_serves

    return BrokerWaitStep
