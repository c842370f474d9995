"""`Reelmill`: a farm as a producer sees it. Submit prompts, follow and steer them, and read where the clips are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from reelmill_common.contract import profile_of
from reelmill_common.errors import InvalidJob, InvalidSettings, JobConflict, LedgerRefused, LedgerUnavailable
from reelmill_common.jobs import DEFAULT_PROFILE, Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import BatchView, ClipMark, Event, JobView, Ledger, PolicyChange, Submitted, WorkerView
from reelmill_common.ledger.events import place
from reelmill_common.ledger.server import PROMPT
from reelmill_common.profiles import PROFILES
from reelmill_common.services.scheduler import Ticker
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore, open_store
from reelmill_producer.clips import Clip, clip_of
from reelmill_producer.control import LOOK_S, ROUND_S, Controller
from reelmill_producer.embedded import state_file
from reelmill_producer.prompts.files import row_of_mapping
from reelmill_producer.prompts.row_keys import Placed, distinct, unnamed_job
from reelmill_producer.reuse import Finder, ReuseMode

if TYPE_CHECKING:
    from celery import Celery


log = structlog.get_logger(__name__)


class Reelmill(Controller):
    """A farm. Use as a context manager, or `close` it; safe to use from several threads.

        with Reelmill.from_env() as farm:
            farm.submit_many(["a fox in the snow", "a lighthouse at dusk"], batch="night-7")
            for event in farm.watch("night-7"):
                print(event.name, event.job_id)
            for clip in farm.clips("night-7"):
                print(clip.row, clip.url)

    Every method may raise `LedgerUnavailable` (try again) and `LedgerRefused`.

    Args:
        settings: Without a `redis_url` they mean the farm of a running `reelmill up` on the same `state_dir`.

    Raises:
        LedgerUnavailable: Redis does not answer, or no `reelmill up` runs.
        InvalidSettings: They have several cells: see `Cells`.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.cells:
            raise InvalidSettings("REELMILL_CELLS names several farms; ask them through `Cells`, or leave it unset")
        self.settings = state_file.attached(settings) if settings.embedded else settings
        self.ledger = Ledger.connect(self.settings, patience=PROMPT)
        self._app: Celery | None = None
        self._store: ClipStore | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Reelmill:
        """Connect by the `REELMILL_*` variables of the process, or of a mapping.

        Raises:
            InvalidSettings: Lists every wrong variable.
        """
        return cls(Settings.from_env(os.environ if env is None else env))

    def close(self) -> None:
        """Close the connections to Redis."""
        self.ledger.close()
        if self._app is not None:
            self._app.close()
            self._app = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def store(self) -> ClipStore:
        """Where the clips are."""
        if self._store is None:
            self._store = open_store(self.settings)
        return self._store

    @property
    def profile(self) -> str:
        """The model profile of jobs that do not name one."""
        return self.settings.profile or DEFAULT_PROFILE

    # -- submitting ----------------------------------------------------------------------------------------------

    def submit(self, prompt: RenderSpec | str, *, batch: Batch | str, row: str = "") -> str:
        """Submit one job and return its id; an equal job that is there already is left as it is.

        Args:
            prompt: A text, rendered with all defaults, or a whole spec.
            batch: Name of the batch, which is made if it is new, or a batch with its policy.
            row: Key within the batch; by default made of the prompt and the seed.

        Raises:
            InvalidJob: A field cannot be rendered as asked.
            JobConflict: The row is there with another spec.
        """
        policy = _batch(batch)
        spec = RenderSpec(prompt=prompt, profile=self.profile) if isinstance(prompt, str) else prompt
        job = RenderJob(batch=policy.name, row=row, spec=spec) if row else self._job(policy.name, spec)
        self.submit_jobs(policy, [job])
        return next(self.ledger.jobs.placed([job])).job_id

    def submit_many(self, rows: Iterable[RenderSpec | str | Mapping[str, object]], *, batch: Batch | str) -> Submitted:
        """Submit many jobs; return how many are new and how many the farm had already.

        Nothing is submitted if one row is wrong, and a row that is given twice is one job. The rows are collected in
        memory: for a million of them, open a `PromptFile` and use `submit_jobs`.

        Args:
            rows: Texts, specs, or mappings with the columns of a prompt file (`id` and the spec's fields).
            batch: As in `submit`.

        Raises:
            InvalidJob: A field cannot be rendered as asked.
            JobConflict: A row is there with another spec.
        """
        policy = _batch(batch)
        return self.submit_jobs(policy, distinct([self._job(policy.name, row) for row in rows]))

    def submit_jobs(
        self,
        batch: Batch,
        jobs: Iterable[RenderJob],
        *,
        change: PolicyChange | None = None,
        reuse: ReuseMode | None = None,
    ) -> Submitted:
        """Submit jobs. `jobs` is read several times, so it must not be an iterator.

        Args:
            batch: The batch, with its policy.
            jobs: The jobs.
            change: What to change of the policy of a batch that is there already, unless jobs are refused.
            reuse: Whether jobs that the farm has an equal clip for succeed with it at once and are not rendered: a clip
                of the workers' present model (`same`), or of any model (`any`).

        Raises:
            JobConflict: Jobs are there with another spec; nothing was submitted.
            NotFound: The change names a batch to wait for that is not there; nothing was submitted.
            StoreError: With `reuse`: the store does not answer; nothing was submitted.
            LedgerUnavailable: Fewer replicas than `settings.confirm_replicas` have it in time; it was submitted.
        """
        there = self.has_batch(batch.name)
        if there:  # a new batch cannot hold another spec, and the look costs as much as a submit
            jobs = Placed(self.ledger, jobs)
            self._refuse_conflicts(jobs)
        # Looked up before the submit, so that an idle worker has no time to claim what is answered after it.
        answers = self._finder(reuse, batch.worker_class).find(jobs) if reuse else {}
        if there and change is not None:
            self.set_policy(batch.name, change)
        lanes: set[str] = set()
        try:
            submitted = self.ledger.batches.submit(batch, _noting_lanes(jobs, lanes))
        except JobConflict:  # another producer took the name of a row meanwhile: the row takes its other name
            submitted = self.ledger.batches.submit(batch, _noting_lanes(Placed(self.ledger, jobs), lanes))
        if answers:
            submitted = replace(submitted, reused=self.ledger.reuse.answer(answers))
        self._pump(sorted(lanes))
        self.ledger.require_replicas(self.settings.confirm_replicas)
        return submitted

    def _finder(self, mode: ReuseMode, worker_class: str) -> Finder:
        return Finder(ledger=self.ledger, store=self.store, mode=mode, worker_class=worker_class)

    def _job(self, batch: str, row: RenderSpec | str | Mapping[str, object]) -> RenderJob:
        if isinstance(row, RenderSpec):
            return unnamed_job(batch, row)
        values = {"prompt": row} if isinstance(row, str) else row
        keyed = row_of_mapping({"profile": self.profile, **values})
        if keyed.names:
            return unnamed_job(batch, keyed.spec, keyed.metadata)
        return RenderJob(batch=batch, row=keyed.key, spec=keyed.spec, metadata=keyed.metadata)

    def has_batch(self, batch: str) -> bool:
        """Whether there is a batch of that name."""
        return self.ledger.batches.exists(batch)

    def _refuse_conflicts(self, jobs: Iterable[RenderJob]) -> None:
        conflicts = self.ledger.jobs.conflicts(jobs)
        if not conflicts:
            return
        rows = ", ".join(job.row for job in conflicts[:10])
        more = f" and {len(conflicts) - 10:,} more" if len(conflicts) > 10 else ""
        raise JobConflict(
            f"batch {conflicts[0].batch!r} has {rows}{more} already, with other content; nothing was submitted. "
            "Give changed rows another id, or submit under another batch name"
        )

    def _pump(self, lanes: Iterable[str]) -> None:
        """Let an idle worker start at once. Workers pump every second too, so a failure here delays that at most."""
        try:
            from kombu.exceptions import OperationalError  # noqa: PLC0415 - 0.3 s that `reelmill status` need not wait
            from redis import RedisError  # noqa: PLC0415 - as above

            from reelmill_common import broker  # noqa: PLC0415 - as above
        except ImportError as err:  # a system that Celery does not support
            log.info("pump.unavailable", error=str(err))
            return
        if self._app is None:
            self._app = broker.make_app(self.settings, name="reelmill-producer", answer_s=PROMPT.answer_s)
        try:
            for profile in {profile_of(lane) for lane in lanes}:  # pump serves all lanes of a profile
                broker.pump(self.ledger, self._app, self.settings, profile)
        except (OperationalError, RedisError, LedgerUnavailable, LedgerRefused) as err:
            log.warning("pump.failed", error=str(err))

    # -- following -----------------------------------------------------------------------------------------------

    def batch(self, name: str) -> BatchView:
        """Return one batch with its counts. Raises `NotFound`."""
        return self.ledger.batches.get(name)

    def batches(self) -> list[BatchView]:
        """Return all batches, newest first."""
        return self.ledger.batches.all()

    def job(self, job_id: str) -> JobView:
        """Return one job. Raises `NotFound`."""
        return self.ledger.jobs.get(job_id)

    def jobs(self, batch: str, *, states: Sequence[JobState] = ()) -> Iterator[JobView]:
        """Yield a batch's jobs in the order of submission, optionally only those in some states. Raises `NotFound`."""
        return self.ledger.jobs.every(batch, states=states)

    def workers(self) -> list[WorkerView]:
        """Return all workers, by name."""
        return self.ledger.workers.all()

    def watch(self, batch: str, *, after: str = "") -> Iterator[Event]:
        """Yield a batch's events until nothing of it remains to be done.

        Args:
            batch: Its name.
            after: The event id to continue after, or `$` for now; by default all events of the batch that are kept.

        Raises:
            NotFound: No such batch.
        """
        for events in self.rounds(batch, after=after):
            yield from events

    def rounds(self, batch: str, *, after: str = "") -> Iterator[list[Event]]:
        """Yield what `watch` yields as lists, about one a second; an empty list when nothing is new.

        Raises:
            NotFound: No such batch.
        """
        view = self.ledger.batches.get(batch)
        after = after or f"{max(0, int(view.created_at * 1000) - 1)}-0"  # stream ids begin with Redis' clock in ms
        feed, end = self.ledger.events.of_batch(batch, after=after), ""
        while True:
            # The batch is read first: what ended it is surely among the events up to the newest one now.
            done = self.ledger.batches.get(batch).remaining == 0
            end = (end or self.ledger.events.newest()) if done else ""
            events = feed.read(block_s=0.0 if done else ROUND_S)
            yield events
            if done and (not events or place(feed.after) >= place(end)):
                return

    def wait(self, batch: str, *, timeout_s: float | None = None) -> BatchView:
        """Wait until nothing of a batch remains or the time is over; return the batch.

        Raises:
            NotFound: No such batch.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for _ in self.rounds(batch, after="$"):
            if deadline is not None and time.monotonic() >= deadline:
                break
        return self.ledger.batches.get(batch)

    def clips(self, batch: str, *, mark: ClipMark | None = None) -> Iterator[Clip]:
        """Yield a batch's finished clips in the order of submission, with links made now; optionally only marked ones.

        Raises:
            NotFound: No such batch.
        """
        jobs = (
            self.jobs(batch, states=[JobState.SUCCEEDED]) if mark is None else self.ledger.choices.chosen(batch, mark)
        )
        yield from (self.clip(job) for job in jobs if job.result is not None)

    def clip(self, job: JobView) -> Clip:
        """Return the clip of a succeeded job.

        Raises:
            NotFound: The job has none (yet).
        """
        return clip_of(job, self.store)

    # -- control -------------------------------------------------------------------------------------------------

    def set_policy(self, batch: str, change: PolicyChange) -> None:
        """Change some of a batch's policy, from the next clip that starts.

        Raises:
            NotFound: No such batch, or no such batch to wait for.
            InvalidJob: A value is out of range, or batches would wait for each other.
        """
        view = self.batch(batch)
        self.ledger.batches.set_policy(view, change)
        if change.priority is not None and change.priority != view.priority:
            self.ledger.batches.prioritize(batch, change.priority)
        self._pump(PROFILES)

    def set_window(self, batch: str, window: str) -> None:
        """Let a batch run only in some hours, such as `22:00-07:00 Europe/Vienna`, or at any time (empty).

        Raises:
            NotFound: No such batch.
            InvalidJob: It is not a valid window.
        """
        self.ledger.timetable.set_window(batch, window)
        self._pump(PROFILES)

    def run_schedule(self, name: str) -> str:
        """Run a schedule now, whatever its times; return its batch once that is submitted.

        Raises:
            NotFound: No such schedule.
            InvalidJob: Its rows cannot be submitted.
        """
        batch, ticker = self.ledger.schedules.run(name), Ticker()
        while not self.ledger.schedules.run_ended(batch):  # a worker may submit it before us
            ticker.round(self.ledger)
            time.sleep(0.0 if self.ledger.schedules.run_ended(batch) else LOOK_S)
        if error := self.ledger.schedules.get(name).error:
            raise InvalidJob(f"schedule {name!r} could not be submitted: {error}")
        self._pump(PROFILES)
        return batch


def _batch(batch: Batch | str) -> Batch:
    return Batch(name=batch) if isinstance(batch, str) else batch


def _noting_lanes(jobs: Iterable[RenderJob], lanes: set[str]) -> Iterator[RenderJob]:
    for job in jobs:
        lanes.add(job.lane)
        yield job
