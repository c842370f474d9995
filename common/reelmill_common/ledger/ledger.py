"""`Ledger`: one farm's record, in named parts. Every change is one call of a Lua function, and atomic."""

from __future__ import annotations

import secrets
from typing import Self

from redis import Redis

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.ledger.accounts import Accounts
from reelmill_common.ledger.attempts import Attempts
from reelmill_common.ledger.base import LedgerConnection
from reelmill_common.ledger.batches import Batches
from reelmill_common.ledger.choices import Choices
from reelmill_common.ledger.dispatch import Dispatcher
from reelmill_common.ledger.events import Events
from reelmill_common.ledger.jobs import Jobs
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.overview import Overview
from reelmill_common.ledger.owners import Owners
from reelmill_common.ledger.restoration import Restoration
from reelmill_common.ledger.retention import Retention
from reelmill_common.ledger.reuse import ClipIndex
from reelmill_common.ledger.schedules import Schedules
from reelmill_common.ledger.server import PATIENT, Patience, Server, connect
from reelmill_common.ledger.timetable import Timetable
from reelmill_common.ledger.tokens import Tokens
from reelmill_common.ledger.workers import WorkerRegistry
from reelmill_common.settings import Settings


class Ledger:
    """One farm's record. Cheap to build; holds a connection pool, safe to use from several threads.

    All times are on Redis' clock. Methods raise `LedgerUnavailable` when Redis does not answer and `LedgerRefused`
    when it answers with a refusal (password, version, read-only, full).

    Args:
        redis: A client that decodes responses.
        farm: Prefix of all keys.
        max_attempts: Failures after which a job is not tried again. Attempts that were given back do not count.

    Attributes:
        jobs: Reads, cancels, holds, prioritizes and retries single jobs.
        batches: Submits, reads and controls whole batches.
        owners: Reads and changes the share and the cap of owners.
        accounts: Reads what the clips of owners cost.
        attempts: Claims a job, renews its lease, and ends the attempt: what a worker does with a job.
        workers: Registers workers, notes their beats, quarantines and forgets them.
        dispatch: Chooses what runs next, and takes back what no worker works on.
        timetable: Opens and closes windows, of batches and of workers.
        schedules: Keeps schedules and their runs.
        tokens: Makes and revokes tokens, and says what one allows.
        choices: Keeps what people said of clips: favourites, rejects, notes.
        retention: Forgets batches and workers, and remembers archives.
        restoration: Reads what a copy of the record needs, and brings it back.
        reuse: Finds clips of equal specs, and answers waiting jobs with them.
        overview: Reads the whole farm at once: snapshot, statistics, backlog, memory.
        events: Reads the event stream.
    """

    def __init__(self, redis: Redis, *, farm: str = "main", max_attempts: int = 3) -> None:
        self._keys = Keys(farm)
        self._server = Server(redis, self._keys.prefix)
        connection = LedgerConnection(self._server, self._keys, max_attempts)
        self.jobs = Jobs(connection)
        self.batches = Batches(connection)
        self.owners = Owners(connection)
        self.accounts = Accounts(connection)
        self.attempts = Attempts(connection)
        self.workers = WorkerRegistry(connection)
        self.dispatch = Dispatcher(connection)
        self.timetable = Timetable(connection)
        self.schedules = Schedules(connection)
        self.tokens = Tokens(connection)
        self.choices = Choices(connection)
        self.retention = Retention(connection)
        self.restoration = Restoration(connection)
        self.reuse = ClipIndex(connection)
        self.overview = Overview(connection)
        self.events = Events(connection)

    @classmethod
    def connect(cls, settings: Settings, *, patience: Patience = PATIENT, shared: bool = False) -> Ledger:
        """Connect by `settings.redis_url` and check that the server serves (ping, version, writable).

        Args:
            settings: Settings of the farm.
            patience: How long to wait for answers, where the connections are not shared.
            shared: Whether to use the few connections that all of this process shares, as a worker does.

        Raises:
            InvalidSettings: The URL cannot be read.
        """
        client = connect(settings, Keys(settings.farm).prefix, patience=patience, shared=shared)
        return cls(client, farm=settings.farm, max_attempts=settings.max_attempts)

    def check_rights(self) -> None:
        """Refuse a server on which our user lacks a right that a farm needs, Celery's channels included.

        Raises:
            LedgerRefused: The message has the exact rights.
        """
        self._server.check_rights()

    def close(self) -> None:
        """Close the connections. The ledger may be used again and then opens new ones."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def identity(self, *, make: bool = True) -> str:
        """Return what tells this record from any other, also from an earlier one that is lost; made if it has none.

        Without `make` nothing is changed, and a record that has none gives an empty text.
        """
        (known,) = self._server.read([("GET", f"{self._keys.prefix}identity")])
        return str(known or (self._server.run("identity", secrets.token_hex(8)) if make else ""))

    def settle(self, *, timeout_s: float = 2.0) -> bool:
        """Wait until what was written is on Redis' disk, so that a power cut takes none of it; False if unknown."""
        return self._server.settle(timeout_s)

    def require_replicas(self, count: int, *, timeout_s: float = 2.0) -> None:
        """Wait until so many replicas of Redis have what was written, so that a fail-over takes none of it.

        Raises:
            LedgerUnavailable: Fewer have it in time. It is written all the same.
        """
        if count and (have := self._server.replicated(count, timeout_s)) < count:
            raise LedgerUnavailable(
                f"what was submitted is on the primary of Redis, and {have} of the {count} replicas that "
                f"REELMILL_CONFIRM_REPLICAS asks for have it after {timeout_s:g} s: a fail-over now may forget it. "
                "Look at the replicas, then submit it again: what is there is left as it is"
            )

    def forgets(self) -> str:
        """Say what the server may forget at a crash beyond the last second or two, or cannot answer for; or ""."""
        return self._server.forgets()
