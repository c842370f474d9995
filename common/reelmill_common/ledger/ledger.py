"""`Ledger`: the typed face of the Lua scripts. Every change is one script, every script is atomic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger.records import (
    BatchView,
    Claimed,
    Dispatch,
    Event,
    JobView,
    Orders,
    Refused,
    Result,
    Submitted,
    WorkerView,
)
from reelmill_common.settings import Settings


class Ledger:
    """One farm's record. Cheap to build; holds a connection pool, safe to use from several threads.

    All times are on Redis' clock. Methods raise `LedgerUnavailable` when Redis does not answer and `LedgerRefused`
    when it answers with a refusal (password, version, read-only, full).
    """

    def __init__(self, redis: Redis, *, farm: str = "main", max_attempts: int = 3) -> None: ...

    @classmethod
    def connect(cls, settings: Settings) -> Ledger:
        """Connect by `settings.redis_url` and check that the server serves (ping, version, writable)."""

    # -- the producer's side -------------------------------------------------------------------------------------

    def conflicts(self, jobs: Iterable[RenderJob]) -> list[RenderJob]:
        """Return the jobs whose id the ledger already has with another spec. Pipelined; changes nothing."""

    def submit(self, batch: Batch, jobs: Iterable[RenderJob]) -> Submitted:
        """Add jobs to a batch, making the batch if it is new. A job that is there already is left as it is.

        Streams: jobs are sent in chunks, each chunk one atomic script, several chunks in one pipeline.

        Raises:
            JobConflict: A job is there with another spec; nothing of its chunk was added.
        """

    def cancel_job(self, job_id: str) -> JobState:
        """Cancel one job: at once if it waits, by request if it runs. Return the state that it has now."""

    def cancel_batch(self, batch: str) -> int:
        """Cancel whatever of a batch is not final; return how many jobs that touched."""

    def pause_batch(self, batch: str) -> None:
        """Dispatch nothing more of a batch; messages already sent die at claim, running jobs go on."""

    def resume_batch(self, batch: str) -> None:
        """Undo `pause_batch`."""

    def prioritize_batch(self, batch: str, priority: int) -> None:
        """Change the priority of everything in a batch that waits; acts on the next pump."""

    def retry_failed(self, batch: str) -> int:
        """Queue a batch's failed and cancelled jobs again with their attempts counted from zero; return how many."""

    # -- dispatch ------------------------------------------------------------------------------------------------

    def pump(self, lane: str, *, depth: int = 2) -> Sequence[Dispatch]:
        """Choose what a lane runs next, at the last moment, and mark it dispatched.

        Keeps `depth` jobs dispatched per live ready worker. Strict priority, then fair share by weighted virtual
        time between batches of equal priority, first come first served within a batch. Paused batches and batches
        at their cap are passed over. A more urgent job is dispatched even when the depth is used up by less urgent
        ones. Nothing is dispatched while no worker of the lane is ready.
        """

    def reap(self) -> int:
        """Take back expired leases and dispatched jobs whose message vanished; return how many jobs that freed."""

    # -- the worker's side ---------------------------------------------------------------------------------------

    def register(self, worker: str, lane: str, info: Mapping[str, Any]) -> None:
        """Enter a worker as `starting`; jobs leased to an earlier life of the same name are taken back at once."""

    def ready(self, worker: str, info: Mapping[str, Any]) -> None:
        """Mark a worker `ready`: it counts for pump and may claim."""

    def quarantine(self, worker: str, reason: str) -> None:
        """Mark a worker unfit: it may not claim until `forgive`."""

    def forgive(self, worker: str) -> None:
        """Lift a quarantine; the worker must register again."""

    def draining(self, worker: str) -> None:
        """Mark a worker as taking no more jobs; it finishes what it has."""

    def retire(self, worker: str) -> None:
        """Remove a worker that ended in order; whatever it still leased is given back without counting."""

    def beat(self, worker: str) -> WorkerView | None:
        """Say that a worker's parent lives; return how the ledger sees it, or None if it is not registered."""

    def claim(self, job_id: str, generation: int, worker: str, *, lease_s: float) -> Claimed | Refused:
        """Accept a message: count the attempt and grant a lease with a fencing token, or say why not."""

    def renew(self, job_id: str, token: int, *, lease_s: float) -> Orders:
        """Extend a lease."""

    def stage(self, job_id: str, token: int, stage: str, *, lease_s: float) -> Orders:
        """Extend a lease and record what the job is doing now."""

    def finish(self, job_id: str, token: int, result: Result) -> bool:
        """Publish: accepted once, and only from the holder of the lease. False means that the attempt lost."""

    def fail(self, job_id: str, token: int, code: str, message: str, *, retryable: bool) -> JobState | None:
        """Report a failed attempt: queued again while attempts are left and it is retryable, else failed.

        Returns the new state, or None if the attempt had lost its lease (nothing is changed then).
        """

    def cancelled(self, job_id: str, token: int) -> bool:
        """Confirm that a running job has stopped because it was asked to."""

    def release(self, job_id: str, token: int) -> bool:
        """Give a job back unrendered without counting the attempt against it (drain, shutdown)."""

    # -- reading -------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobView:
        """Return one job. Raises `NotFound`."""

    def jobs(
        self, batch: str, *, states: Sequence[JobState] = (), start: int = 0, count: int = 1000
    ) -> list[JobView]:
        """Return a page of a batch's jobs in the order of submission, optionally only some states."""

    def batch(self, name: str) -> BatchView:
        """Return one batch. Raises `NotFound`."""

    def batches(self) -> list[BatchView]:
        """Return all batches, newest first."""

    def workers(self) -> list[WorkerView]:
        """Return all workers, by name."""

    def events(self, *, after: str = "$", block_s: float = 0.0, count: int = 1000) -> list[Event]:
        """Return events after a stream id (`$`: only new ones, `0`: all that are kept), waiting up to `block_s`."""

    def follow(self, batch: str, *, after: str = "$") -> Iterator[Event]:
        """Yield a batch's events as they come, for ever."""
