"""Control: what a producer does with the batches, jobs and workers of a farm."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from reelmill_common.errors import InvalidJob, NotFound
from reelmill_common.jobs import JobState, job_id
from reelmill_common.ledger import BatchView, ClipChoice, ClipMark, JobView, Ledger, WorkerView
from reelmill_common.profiles import PROFILES
from reelmill_common.text.suggestions import did_you_mean

CANCEL_WAIT_S = 60.0
ROUND_S = 1.0
"""Seconds after which a wait looks again, although no event came."""
LOOK_S = 0.2
"""Seconds between two looks whether something has ended. Events of a farm come too often to wait for one."""
RETRIED = (JobState.FAILED, JobState.CANCELLED)

_JOB_ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport:
    """What a cancel has done so far.

    Attributes:
        touched: Jobs that were not final when it began.
        unconfirmed: Those of them that still run: their workers have not confirmed the stop yet.
    """

    touched: int
    unconfirmed: int


class Controller:
    """The part of `Reelmill` that controls work. A target is the name of a batch, or a job: `BATCH/ROW` or its id.

    `pause` and `resume` also take the name of a worker.
    """

    ledger: Ledger

    def _pump(self, lanes: Iterable[str]) -> None:
        raise NotImplementedError

    def status(self, target: str) -> BatchView | JobView:
        """Return the batch or the job that a target names. Raises `NotFound`."""
        batch, is_job, row = target.partition("/")
        if not is_job:
            return self.ledger.jobs.get(target) if is_job_id(target) else self.ledger.batches.get(target)
        try:
            return self.ledger.jobs.get(job_id(batch, row))
        except NotFound:
            known = self.ledger.batches.get(batch)
            asked = did_you_mean(row, (job.row for job in self.ledger.jobs.page(batch)))
            lists = f"{asked}`reelmill status {known.name} --jobs` lists its rows"
            raise NotFound(f"batch {batch!r} has no row {row[:80]!r}; {lists}") from None

    def id_of(self, target: str) -> str:
        """Return the id of the job that `BATCH/ROW` names, and any other target unchanged. Raises `NotFound`."""
        found = self.status(target) if "/" in target else None
        return found.job_id if isinstance(found, JobView) else target

    def cancel(self, target: str, *, timeout_s: float = CANCEL_WAIT_S) -> CancelReport:
        """Cancel a batch or a job; wait until its workers have confirmed it, or the time is over.

        Raises:
            NotFound: No such batch or job.
        """
        return self.cancel_all([target], timeout_s=timeout_s)[0]

    def cancel_all(self, targets: Sequence[str], *, timeout_s: float = CANCEL_WAIT_S) -> list[CancelReport]:
        """Cancel several targets; all are requested before the first is waited for, and none if one is not there.

        Raises:
            NotFound: No such batch or job.
        """
        deadline = time.monotonic() + timeout_s
        self.require(targets)
        targets = [self.id_of(target) for target in targets]
        touched = [self._request_cancel(target) for target in targets]
        while any(unconfirmed := [self._unconfirmed(target) for target in targets]):
            if (left := deadline - time.monotonic()) <= 0:
                break
            time.sleep(min(left, LOOK_S))
        pairs = zip(touched, unconfirmed, strict=True)
        return [CancelReport(touched=count, unconfirmed=waiting) for count, waiting in pairs]

    def _request_cancel(self, target: str) -> int:
        if not is_job_id(target):
            return self.ledger.batches.cancel(target)
        before = self.ledger.jobs.get(target).state
        self.ledger.jobs.cancel(target)
        return int(not before.is_final)

    def _unconfirmed(self, target: str) -> int:
        found = self.status(target)
        if isinstance(found, JobView):
            return int(found.state is JobState.CANCEL_REQUESTED)
        return found.counts.get(JobState.CANCEL_REQUESTED, 0)

    def pause(self, target: str) -> BatchView | JobView | WorkerView:
        """Start nothing more of a batch or on a worker, or hold a job; return the target.

        Running clips are finished. A worker stays paused when it is restarted.

        Raises:
            NotFound: No such batch, job or worker.
        """
        if names_worker(target):
            self.ledger.workers.pause(target)
            return self.worker(target)
        target = self.id_of(target)
        (self.ledger.jobs.pause if is_job_id(target) else self.ledger.batches.pause)(target)
        return self.status(target)

    def resume(self, target: str, *, held: bool = False) -> BatchView | JobView | WorkerView:
        """Undo `pause`; return the batch, job or worker.

        Args:
            target: A batch, a job or a worker.
            held: Whether jobs of the batch that were held one by one are released too.

        Raises:
            NotFound: No such batch, job or worker.
        """
        if names_worker(target):
            self.ledger.workers.resume(target)
            self._pump(PROFILES)
            return self.worker(target)
        target = self.id_of(target)
        if is_job_id(target):
            self.ledger.jobs.resume(target)
        else:
            self.ledger.batches.resume(target)
            if held:
                self.ledger.batches.resume_held(target)
        self._pump(PROFILES)
        return self.status(target)

    def prioritize(self, target: str, priority: int) -> None:
        """Give the waiting jobs of a batch, or one job, a priority of 0 to 9, 9 most urgent.

        Raises:
            NotFound: No such batch or job.
            InvalidJob: The priority is out of range.
        """
        target = self.id_of(target)
        (self.ledger.jobs.prioritize if is_job_id(target) else self.ledger.batches.prioritize)(target, priority)
        self._pump(PROFILES)

    def retry(
        self, target: str, *, states: Sequence[JobState] = RETRIED, code: str = "", only: Sequence[str] = ()
    ) -> int:
        """Queue failed and cancelled jobs again; return how many.

        Args:
            target: A batch, or a job.
            states: Only jobs of the batch in these states.
            code: Only jobs of the batch whose last error has this code; empty: any.
            only: Only these rows or job ids of the batch; `states` and `code` are ignored then.

        Raises:
            NotFound: No such batch or job.
        """
        target = self.id_of(target)
        if is_job_id(target):
            count = self.ledger.jobs.retry([target])
        elif only:
            count = self.ledger.jobs.retry(self._rows(target, only))
        else:
            count = self.ledger.batches.retry(target, states=states, code=code)
        self._pump(PROFILES)
        return count

    def redo(self, clips: Sequence[tuple[str, str]]) -> int:
        """Queue succeeded jobs again whose clips are lost, given as (job id, key of the clip); return how many."""
        count = self.ledger.jobs.redo(clips)
        self._pump(PROFILES)
        return count

    def _rows(self, batch: str, names: Sequence[str]) -> list[str]:
        self.ledger.batches.get(batch)
        ids = {name: name if is_job_id(name) else job_id(batch, name) for name in dict.fromkeys(names)}
        there = {view.job_id for view in self.ledger.jobs.find(list(ids.values())) if view.batch == batch}
        missing = [name for name, one in ids.items() if one not in there]
        if missing:
            asked = did_you_mean(missing[0], (job.row for job in self.ledger.jobs.page(batch)))
            lists = f"{asked}`reelmill status {batch} --jobs` lists them"
            raise NotFound(f"batch {batch!r} has no row or job {', '.join(missing[:10])}; {lists}")
        return list(ids.values())

    def choose(self, job: str, mark: ClipMark | str | None, note: str = "") -> JobView:
        """Mark a job's clip as `favourite` or `reject`, in place of what was said of it before; return the job.

        The mark is kept until the batch is pruned, then in its archive, and stands in `results` and `export`.

        Args:
            job: `BATCH/ROW`, or the job's id.
            mark: None takes the mark and the note away.
            note: Why, in one line of at most 500 characters.

        Raises:
            NotFound: No such job.
            InvalidJob: There is no such mark, or the note cannot be kept.
        """
        found = self.status(job)
        if not isinstance(found, JobView):
            raise NotFound(f"{job!r} is a batch, and clips are marked one by one; name a job as BATCH/ROW")
        choice = None if mark is None else ClipChoice(mark=_mark(mark), note=note)
        self.ledger.choices.set(found.job_id, choice)
        return replace(found, choice=choice)

    def require(self, targets: Sequence[str]) -> None:
        """Raise unless all targets are there.

        Raises:
            NotFound: No such batch, job or worker.
        """
        for target in targets:
            (self.worker if names_worker(target) else self.status)(target)

    def worker(self, name: str) -> WorkerView:
        """Return one worker. Raises `NotFound`."""
        workers = self.ledger.workers.all()
        found = next((worker for worker in workers if worker.name == name), None)
        if found is None:
            names = ", ".join(worker.name for worker in workers) or "none"
            asked = did_you_mean(name, (worker.name for worker in workers))
            raise NotFound(f"no worker {name!r}; {asked}known are {names}")
        return found


def _mark(name: ClipMark | str) -> ClipMark:
    if name not in set(ClipMark):
        raise InvalidJob(f"mark {str(name)[:40]!r} is unknown; known are {', '.join(ClipMark)}")
    return ClipMark(name)


def is_job_id(text: str) -> bool:
    """Whether a text is a job's id rather than a batch's name."""
    return _JOB_ID.fullmatch(text) is not None


def names_worker(target: str) -> bool:
    """Whether a target is a worker, such as `gpu0@render-3`, rather than a batch or a job."""
    return "@" in target and "/" not in target


def names_job(target: str) -> bool:
    """Whether a target is a job, by its id or as `BATCH/ROW`, rather than a batch."""
    return is_job_id(target) or "/" in target
