"""`Ledger`: the typed face of the Lua functions. Every change is one call, every call is atomic."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import base, queries, views
from reelmill_common.ledger.accounts import Accounts
from reelmill_common.ledger.attempts import Attempts
from reelmill_common.ledger.board import FarmSnapshot, board
from reelmill_common.ledger.control import ControlCalls
from reelmill_common.ledger.dispatching import Dispatching
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.policy import Policies
from reelmill_common.ledger.records import (
    BatchView,
    Event,
    JobView,
    Memory,
    QueuePlace,
    Submitted,
    WorkerView,
)
from reelmill_common.ledger.retention import Retention
from reelmill_common.ledger.reuse import Reuse
from reelmill_common.ledger.server import PATIENT, Patience, connect
from reelmill_common.ledger.stats import QueueStats, census
from reelmill_common.ledger.submission import conflicts, placed, submit
from reelmill_common.ledger.timetable import Timetable
from reelmill_common.ledger.workers import WorkerRegistry
from reelmill_common.settings import Settings

PAGE = 1000
"""Jobs that `every_job` reads at once."""
FOLLOW_BLOCK_S = 5.0
"""Seconds that `follow` waits in one round trip."""


class Ledger(ControlCalls, Policies, Dispatching, Attempts, WorkerRegistry, Timetable, Retention, Accounts, Reuse):
    """One farm's record. Cheap to build; holds a connection pool, safe to use from several threads.

    All times are on Redis' clock. Methods raise `LedgerUnavailable` when Redis does not answer and `LedgerRefused`
    when it answers with a refusal (password, version, read-only, full).

    Args:
        redis: A client that decodes responses.
        farm: Prefix of all keys.
        max_attempts: Failures after which a job is not tried again. Attempts that were given back do not count.
    """

    @classmethod
    def connect(cls, settings: Settings, *, patience: Patience = PATIENT) -> Ledger:
        """Connect by `settings.redis_url` and check that the server serves (ping, version, writable).

        Raises:
            InvalidSettings: The URL cannot be read.
        """
        client = connect(settings, Keys(settings.farm).prefix, patience=patience)
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

    # -- the producer's side -------------------------------------------------------------------------------------

    def conflicts(self, jobs: Iterable[RenderJob]) -> list[RenderJob]:
        """Return the jobs whose id the ledger already has with another spec. Pipelined; changes nothing."""
        return conflicts(self._server, self._keys, jobs)

    def placed(self, jobs: Iterable[RenderJob]) -> Iterator[RenderJob]:
        """Yield jobs by the keys that their rows have in their batch, or are to have (`RenderJob.others`)."""
        return placed(self._server, self._keys, jobs)

    def submit(self, batch: Batch, jobs: Iterable[RenderJob]) -> Submitted:
        """Add jobs to a batch, making the batch if it is new. A job that is there already is left as it is.

        Streams: jobs are sent in chunks, each chunk one atomic call, several chunks in one pipeline. A batch that
        is there keeps its policy (`prioritize_batch` changes it). Without jobs nothing is made.

        Raises:
            JobConflict: A job is there with another spec; nothing of its chunk was added.
            InvalidJob: A job belongs to another batch.
        """
        submitted = submit(self._server, batch, jobs)
        if batch.window:
            self.look_at_window(batch)
        return submitted

    def settle(self, *, timeout_s: float = 2.0) -> bool:
        """Wait until what was written is on Redis' disk, so that a power cut takes none of it; False if unknown."""
        return self._server.settle(timeout_s)

    def forgets(self) -> str:
        """Say what the server may forget at a crash beyond the last second or two, or cannot answer for; or ""."""
        return self._server.forgets()

    # -- reading -------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobView:
        """Return one job. Raises `NotFound`."""
        found = queries.jobs(self._server, self._keys, [job_id])
        if not found:
            raise NotFound(f"no job {job_id}")
        return found[0]

    def next_job(self, batch: str) -> JobView | None:
        """Return the job of a batch that starts next, or None if nothing of it waits."""
        job_id = self._server.run("next", batch)
        return next(iter(self.find([job_id])), None) if job_id else None

    def place(self, job: JobView) -> QueuePlace:
        """Say where a job that waits or is dispatched stands in its own batch."""
        before, sent_ms = self._server.run("place", job.batch, job.lane, job.priority, job.job_id)
        return QueuePlace(before=before, sent_s=None if sent_ms < 0 else sent_ms / 1000)

    def find(self, job_ids: Sequence[str]) -> list[JobView]:
        """Return those of some jobs that there are."""
        return queries.jobs(self._server, self._keys, job_ids)

    def jobs(self, batch: str, *, states: Sequence[JobState] = (), start: int = 0, count: int = 1000) -> list[JobView]:
        """Return a page of a batch's jobs in the order of submission, optionally only some states.

        `start` counts within what is asked for. Raises `NotFound`.
        """
        self.batch(batch)
        ids = queries.page(self._server, self._keys, batch, states, start, count)
        return queries.jobs(self._server, self._keys, ids)

    def every_job(self, batch: str, *, states: Sequence[JobState] = ()) -> Iterator[JobView]:
        """Yield a batch's jobs page by page in the order of submission, optionally only some states.

        Raises:
            NotFound: No such batch.
        """
        start = 0
        while page := self.jobs(batch, states=states, start=start, count=PAGE):
            yield from page
            start += len(page)

    def batch(self, name: str) -> BatchView:
        """Return one batch. Raises `NotFound`."""
        found = queries.batches(self._server, self._keys, [name])
        if not found:
            raise self._no_batch(name)
        return found[0]

    def has_batch(self, name: str) -> bool:
        """Whether there is a batch of that name."""
        return bool(queries.batches(self._server, self._keys, [name]))

    def batches(self) -> list[BatchView]:
        """Return all batches, newest first."""
        return queries.batches(self._server, self._keys, queries.batch_names(self._server, self._keys))

    def workers(self) -> list[WorkerView]:
        """Return all workers, by name."""
        return sorted(
            (views.worker_view(answer, live_s=base.LIVE_S) for answer in self._server.run("workers")),
            key=lambda worker: worker.name,
        )

    def census(self) -> QueueStats:
        """Count what waits, runs and has ended, in one call: for metrics, which name no batch and no job."""
        return census(self._server.run("census"))

    def memory(self) -> Memory:
        """Return how much memory the server uses, and how much it may."""
        (info,) = self._server.read([("INFO", "memory")])
        return Memory(used_bytes=int(info["used_memory"]), limit_bytes=int(info.get("maxmemory", 0)))

    def board(self) -> FarmSnapshot:
        """Return what runs now, for a live view: four round trips, whatever the size of the farm."""
        return board(self._server, self._keys, live_s=base.LIVE_S)

    def events(self, *, after: str = "$", block_s: float = 0.0, count: int = 1000) -> list[Event]:
        """Return events after a stream id (`$`: only new ones, `0`: all that are kept), waiting up to `block_s`."""
        return queries.events(self._server, self._keys, after=after, block_s=block_s, count=count)

    def newest_event(self) -> str:
        """Return the id of the newest event: pass it as `after` to miss nothing that comes after this call."""
        return queries.newest_event(self._server, self._keys)

    def follow(self, batch: str, *, after: str = "$") -> Iterator[Event]:
        """Yield a batch's events as they come, for ever."""
        after = self.newest_event() if after == "$" else after
        while True:
            for event in self.events(after=after, block_s=FOLLOW_BLOCK_S):
                after = event.event_id
                if event.batch == batch:
                    yield event
