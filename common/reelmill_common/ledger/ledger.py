"""`Ledger`: the typed face of the Lua scripts. Every change is one script, every script is atomic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from redis import Redis

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import reading, views
from reelmill_common.ledger.census import Census, census
from reelmill_common.ledger.keys import Keys
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
from reelmill_common.ledger.server import Server, connect
from reelmill_common.ledger.submission import conflicts, submit
from reelmill_common.settings import Settings

LIVE_S = 10.0
"""Seconds without a beat after which a worker counts as dead: pump sends nothing for it."""
VANISHED_S = 60.0
"""Seconds after which the message of a dispatched job is taken for lost, and another is sent."""
MESSAGE_CHARS = 1000
"""Longest error message or reason that is kept; a traceback belongs into the log."""

FOLLOW_BLOCK_S = 5.0
"""Seconds that `follow` waits in one round trip."""

_PUMP_MOST = 16  # jobs chosen by one script: about 1 ms of the server's time
_TOUCH_MOST = 50  # jobs touched by one script of reap, cancel and retry: about 3 ms
_REAP_MOST = 1000  # jobs freed by one call of reap


class Ledger:
    """One farm's record. Cheap to build; holds a connection pool, safe to use from several threads.

    All times are on Redis' clock. Methods raise `LedgerUnavailable` when Redis does not answer and `LedgerRefused`
    when it answers with a refusal (password, version, read-only, full).

    Args:
        redis: A client that decodes responses.
        farm: Prefix of all keys.
        max_attempts: Failures after which a job is not tried again. Attempts that were given back do not count.
    """

    def __init__(self, redis: Redis, *, farm: str = "main", max_attempts: int = 3) -> None:
        self._server = Server(redis, Keys(farm).prefix)
        self._keys = Keys(farm)
        self._max_attempts = max_attempts

    @classmethod
    def connect(cls, settings: Settings) -> Ledger:
        """Connect by `settings.redis_url` and check that the server serves (ping, version, writable).

        Raises:
            InvalidSettings: The URL cannot be read.
        """
        client = connect(settings, Keys(settings.farm).prefix)
        return cls(client, farm=settings.farm, max_attempts=settings.max_attempts)

    def close(self) -> None:
        """Close the connections. The ledger may be used again and then opens new ones."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the producer's side -------------------------------------------------------------------------------------

    def conflicts(self, jobs: Iterable[RenderJob]) -> list[RenderJob]:
        """Return the jobs whose id the ledger already has with another spec. Pipelined; changes nothing."""
        return conflicts(self._server, self._keys, jobs)

    def submit(self, batch: Batch, jobs: Iterable[RenderJob]) -> Submitted:
        """Add jobs to a batch, making the batch if it is new. A job that is there already is left as it is.

        Streams: jobs are sent in chunks, each chunk one atomic script, several chunks in one pipeline. A batch that
        is there keeps its policy (`prioritize_batch` changes it). Without jobs nothing is made.

        Raises:
            JobConflict: A job is there with another spec; nothing of its chunk was added.
            InvalidJob: A job belongs to another batch.
        """
        return submit(self._server, batch, jobs)

    def cancel_job(self, job_id: str) -> JobState:
        """Cancel one job: at once if it waits, by request if it runs. Return the state that it has now.

        Raises:
            NotFound: No such job.
        """
        letter = self._server.run("cancel_job", job_id)
        if letter is None:
            raise NotFound(f"no job {job_id}")
        return views.STATES[letter]

    def cancel_batch(self, batch: str) -> int:
        """Cancel whatever of a batch is not final; return how many jobs that touched.

        Raises:
            NotFound: No such batch.
        """
        total, waiting = 0, 1
        while waiting:
            touched, waiting = self._of_batch("cancel_batch", batch, _TOUCH_MOST)
            total += touched
        return total

    def pause_batch(self, batch: str) -> None:
        """Dispatch nothing more of a batch; messages already sent die at claim, running jobs go on.

        Raises:
            NotFound: No such batch.
        """
        self._of_batch("pause", batch)

    def resume_batch(self, batch: str) -> None:
        """Undo `pause_batch`.

        Raises:
            NotFound: No such batch.
        """
        self._of_batch("resume", batch)

    def prioritize_batch(self, batch: str, priority: int) -> None:
        """Change the priority of everything in a batch that waits; acts on the next pump.

        Raises:
            NotFound: No such batch.
            InvalidJob: The priority is not 0 to 9.
        """
        self._of_batch("prioritize", batch, Batch(name=batch, priority=priority).priority)

    def retry_failed(self, batch: str) -> int:
        """Queue a batch's failed and cancelled jobs again with their failures counted from zero; return how many.

        `JobView.attempts` goes on counting: it is the fencing token, and may never fall.

        Raises:
            NotFound: No such batch.
        """
        total: int
        total, left = self._of_batch("retry", batch, _TOUCH_MOST)
        goal = total + left  # jobs that fail again meanwhile are not retried twice by one call
        while left and total < goal:
            touched, left = self._of_batch("retry", batch, min(_TOUCH_MOST, goal - total))
            total += touched
        return total

    def _of_batch(self, script: str, batch: str, *args: str | float) -> Any:
        answer = self._server.run(script, batch, *args)
        if not answer:
            raise NotFound(f"no batch {batch!r}; `reelmill status` lists those that there are")
        return answer

    # -- dispatch ------------------------------------------------------------------------------------------------

    def pump(self, lane: str, *, depth: int = 2) -> Sequence[Dispatch]:
        """Choose what a lane runs next, at the last moment, and mark it dispatched.

        Keeps `depth` jobs dispatched per live ready worker. Strict priority, then fair share by weighted virtual
        time between batches of equal priority, first come first served within a batch. Paused batches and batches
        at their cap are passed over. A more urgent job is dispatched even when the depth is used up by less urgent
        ones. Nothing is dispatched while no worker of the lane is ready.
        """
        chosen: list[Dispatch] = []
        while True:
            answer = self._server.run("pump", lane, depth, LIVE_S, _PUMP_MOST)
            chosen += [
                Dispatch(
                    job_id=job_id,
                    generation=int(generation),
                    lane=lane,
                    priority=int(priority),
                    label=views.label(spec),
                )
                for job_id, generation, priority, spec in answer
            ]
            if len(answer) < _PUMP_MOST:
                return chosen

    def reap(self) -> int:
        """Take back expired leases and dispatched jobs whose message vanished; return how many jobs that freed."""
        total = 0
        while total < _REAP_MOST:
            touched: int = self._server.run("reap", VANISHED_S, LIVE_S, self._max_attempts, _TOUCH_MOST)
            total += touched
            if touched < _TOUCH_MOST:
                break
        return total

    # -- the worker's side ---------------------------------------------------------------------------------------

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
        self._of_worker("quarantine", worker, _kept(reason))

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
        return next((views.worker_view(answer, live_s=LIVE_S) for answer in self._server.run("workers", worker)), None)

    def _of_worker(self, script: str, worker: str, *args: str) -> None:
        if not self._server.run(script, worker, *args):
            raise NotFound(f"no worker {worker!r} is registered; it registers when it starts")

    def claim(self, job_id: str, generation: int, worker: str, *, lease_s: float) -> Claimed | Refused:
        """Accept a message: count the attempt and grant a lease with a fencing token, or say why not.

        A job that an unfit worker asks for goes back in line, since its message is used up. One whose spec this
        version cannot read (a newer producer wrote it) fails at once, and the answer is `UNKNOWN`.
        """
        answer = self._server.run("claim", job_id, generation, worker, lease_s)
        if isinstance(answer, str):
            return Refused(answer)
        batch, row, token, spec = answer
        try:
            return Claimed(job_id=job_id, batch=batch, row=row, token=token, spec=RenderSpec.from_json(spec))
        except InvalidJob as err:
            self.fail(job_id, token, err.code, f"{err}; is this worker older than the producer?", retryable=False)
            return Refused.UNKNOWN

    def renew(self, job_id: str, token: int, *, lease_s: float) -> Orders:
        """Extend a lease."""
        return Orders(self._server.run("renew", job_id, token, lease_s, ""))

    def stage(self, job_id: str, token: int, stage: str, *, lease_s: float) -> Orders:
        """Extend a lease and record what the job is doing now."""
        return Orders(self._server.run("renew", job_id, token, lease_s, stage))

    def finish(self, job_id: str, token: int, result: Result) -> bool:
        """Publish: accepted once, and only from the holder of the lease. False means that the attempt lost.

        A clip that is stored wins over a request to cancel. The same attempt may repeat the same result, since an
        answer can be lost on the way, and hears True again.
        """
        return bool(self._server.run("finish", job_id, token, result.key, views.result_json(result)))

    def fail(self, job_id: str, token: int, code: str, message: str, *, retryable: bool) -> JobState | None:
        """Report a failed attempt: queued again while attempts are left and it is retryable, else failed.

        A job that was asked to stop becomes cancelled instead. Returns the new state, or None if the attempt had
        lost its lease (nothing is changed then).
        """
        flag = "1" if retryable else "0"
        letter = self._server.run("fail", job_id, token, code, _kept(message), flag, self._max_attempts)
        return None if letter is None else views.STATES[letter]

    def cancelled(self, job_id: str, token: int) -> bool:
        """Confirm that a running job has stopped because it was asked to."""
        return bool(self._server.run("confirm_cancel", job_id, token))

    def release(self, job_id: str, token: int) -> bool:
        """Give a job back unrendered without counting the attempt against it (drain, shutdown).

        A job that was asked to stop becomes cancelled.
        """
        return bool(self._server.run("release", job_id, token))

    # -- reading -------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobView:
        """Return one job. Raises `NotFound`."""
        found = reading.jobs(self._server, self._keys, [job_id])
        if not found:
            raise NotFound(f"no job {job_id}")
        return found[0]

    def jobs(self, batch: str, *, states: Sequence[JobState] = (), start: int = 0, count: int = 1000) -> list[JobView]:
        """Return a page of a batch's jobs in the order of submission, optionally only some states.

        `start` counts within what is asked for. Raises `NotFound`.
        """
        self.batch(batch)
        ids = reading.page(self._server, self._keys, batch, states, start, count)
        return reading.jobs(self._server, self._keys, ids)

    def batch(self, name: str) -> BatchView:
        """Return one batch. Raises `NotFound`."""
        found = reading.batches(self._server, self._keys, [name])
        if not found:
            raise NotFound(f"no batch {name!r}; `reelmill status` lists those that there are")
        return found[0]

    def batches(self) -> list[BatchView]:
        """Return all batches, newest first."""
        return reading.batches(self._server, self._keys, reading.batch_names(self._server, self._keys))

    def workers(self) -> list[WorkerView]:
        """Return all workers, by name."""
        return sorted(
            (views.worker_view(answer, live_s=LIVE_S) for answer in self._server.run("workers")),
            key=lambda worker: worker.name,
        )

    def census(self) -> Census:
        """Count what waits, runs and has ended, in one script: for metrics, which name no batch and no job."""
        return census(self._server.run("census"))

    def events(self, *, after: str = "$", block_s: float = 0.0, count: int = 1000) -> list[Event]:
        """Return events after a stream id (`$`: only new ones, `0`: all that are kept), waiting up to `block_s`."""
        return reading.events(self._server, self._keys, after=after, block_s=block_s, count=count)

    def newest_event(self) -> str:
        """Return the id of the newest event: pass it as `after` to miss nothing that comes after this call."""
        return reading.newest_event(self._server, self._keys)

    def follow(self, batch: str, *, after: str = "$") -> Iterator[Event]:
        """Yield a batch's events as they come, for ever."""
        after = self.newest_event() if after == "$" else after
        while True:
            for event in self.events(after=after, block_s=FOLLOW_BLOCK_S):
                after = event.event_id
                if event.batch == batch:
                    yield event


def _kept(text: str) -> str:
    """Cut a message to what is kept, and replace halves of surrogate pairs, which UTF-8 cannot hold."""
    return text[:MESSAGE_CHARS].encode("utf-8", "replace").decode()
