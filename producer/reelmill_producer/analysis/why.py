"""Why a batch or a job is where it is: one cause and its sentence, from what the ledger says now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from reelmill_common.calendar.windows import Windows
from reelmill_common.forecast import Course, Position, Target, paces_of
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import BatchView, JobView, WorkerState, WorkerView
from reelmill_producer.analysis.deadlines import deadline_text, finish_of, in_time
from reelmill_producer.analysis.wait_texts import lane_text, store_error, time_text, wait_text
from reelmill_producer.client import Reelmill

_RUNNING = (JobState.RUNNING, JobState.CANCEL_REQUESTED)


class WaitCause(StrEnum):
    """What keeps a target waiting, or how it proceeds or ended. The values are stable."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    WINDOW = "window"
    START = "start"
    AFTER = "after"
    BATCH_CAP = "batch_cap"
    OWNER_CAP = "owner_cap"
    NO_WORKER = "no_worker"
    STORE = "store"
    DISPATCHED = "dispatched"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A cause, its sentence without the subject, and what the sentence was made of.

    Attributes:
        of_batch: The subject of the sentence is the batch, even if a job was asked for.
        until: Unix seconds at which it ends by itself, where that is known.
        since: Unix seconds at which it began, where that is known.
        waits_for: The batch that it waits for.
        behind: Clips of its own batch and of higher priorities that start before it.
        above: Those of higher priorities, by priority.
        sharing: Other batches of its priority with clips that start before it, taking turns with its own.
        position: All clips that start before it on the workers that could take it, those of `behind` included.
        starts_at: Unix seconds at which a job will start, by the forecast.
        finish_at: Unix seconds at which a batch will be done, by the forecast, or was.
        finish_by: Its deadline in Unix seconds.
        in_time: Whether it meets that, by the forecast until it has ended.
    """

    cause: WaitCause
    text: str
    of_batch: bool = False
    until: float | None = None
    since: float | None = None
    worker: str = ""
    stage: str = ""
    code: str = ""
    waits_for: str = ""
    behind: int | None = None
    above: dict[int, int] | None = None
    sharing: int | None = None
    position: int | None = None
    starts_at: float | None = None
    finish_at: float | None = None
    finish_by: float | None = None
    in_time: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A job that waits, its batch and its farm: where the causes are looked for."""

    farm: Reelmill
    job: JobView
    batch: BatchView

    @property
    def lane_workers(self) -> list[WorkerView]:
        """The workers of the job's lane."""
        return [worker for worker in self.farm.workers() if self.job.lane in worker.lanes]

    def position(self) -> tuple[Position | None, float | None]:
        """Return what starts before the job, and when it starts, in Unix seconds; None for what is not known."""
        job, ledger = self.job, self.farm.ledger
        place = ledger.jobs.place(job)
        course = Course(ledger.overview.backlog(), paces_of(ledger), depth=self.farm.settings.dispatch_depth)
        course.play(target=Target(job.job_id, job.batch, job.lane, job.priority, place.before))
        found = course.position
        timed = found is not None and found.starts_at is not None and course.is_timed(job.batch)
        return found, found.starts_at.timestamp() if found and found.starts_at and timed else None


def why(farm: Reelmill, target: str) -> tuple[BatchView | JobView, Reason]:
    """Return a batch or job, and why it is where it is. Costs some tens of round trips, however much waits.

    Raises:
        NotFound: No such batch or job.
    """
    found = farm.status(target)
    return found, of_job(farm, found) if isinstance(found, JobView) else of_batch(farm, found)


def sentence(found: BatchView | JobView, reason: Reason) -> str:
    """Return a reason as a whole sentence, without its full stop."""
    if isinstance(found, BatchView):
        return f"batch {found.name} {reason.text}"
    if reason.of_batch:
        return f"job {found.batch}/{found.row} waits: batch {found.batch} {reason.text}"
    return f"job {found.batch}/{found.row} {reason.text}"


def reason_record(target: str, found: BatchView | JobView, reason: Reason) -> dict[str, Any]:
    """Return why a target is where it is as plain data; what does not belong to the cause is null or empty."""
    values = {name: value for name, value in asdict(reason).items() if name not in {"cause", "text", "of_batch"}}
    head = {"target": target, "state": found.state.value, "sentence": sentence(found, reason)}
    return {**head, "cause": reason.cause.value, **values}


def obstacle(farm: Reelmill, batch: str, *, coming: str = "") -> str:
    """Return why no clip of a batch is being rendered and what to do about it; empty if one is, or soon will be.

    `coming` is a profile whose worker is being started, though it has not registered yet.

    Raises:
        NotFound: No such batch.
    """
    view = farm.batch(batch)
    if not view.remaining or any(view.counts.get(state, 0) for state in _RUNNING):
        return ""
    if reason := _kept_back(farm, view):
        return sentence(view, reason)
    waiting = next(iter(farm.jobs(batch, states=[JobState.QUEUED, JobState.DISPATCHED])), None)
    return "" if waiting is None else lane_text(waiting.lane, farm.workers(), coming)


def of_job(farm: Reelmill, job: JobView) -> Reason:
    """Return why a job is where it is."""
    if job.state.is_final:
        return _ended(job)
    if job.state is JobState.HELD:
        return Reason(cause=WaitCause.HELD, text=f"is held; `reelmill resume {job.job_id}` lets it go on")
    if job.state in _RUNNING:
        return _running(job, store_error([worker for worker in farm.workers() if worker.name == job.worker]))
    return _waiting(WaitingJob(farm=farm, job=job, batch=farm.batch(job.batch)))


def of_batch(farm: Reelmill, batch: BatchView) -> Reason:
    """Return why a batch is where it is, and whether it meets its deadline if it has one.

    While jobs of it wait, the one that starts next decides.
    """
    reason = _of_batch(farm, batch)
    if not batch.finish_by:
        return reason
    finish_at, unknown = (reason.finish_at, "") if reason.finish_at else finish_of(farm, batch)
    return replace(
        reason,
        text=f"{reason.text}; {deadline_text(batch, finish_at, unknown)}",
        finish_at=finish_at,
        finish_by=batch.finish_by,
        in_time=in_time(batch.finish_by, finish_at),
    )


def _of_batch(farm: Reelmill, batch: BatchView) -> Reason:
    counts = batch.counts
    if batch.state is BatchState.DONE:
        return _outcome(batch)
    waiting = farm.ledger.jobs.next_of(batch.name)
    if waiting is None:
        sent = farm.ledger.jobs.page(batch.name, states=[JobState.DISPATCHED], count=1)
        waiting = sent[0] if sent else None
    if waiting is not None and (reason := _kept_back(farm, batch)):
        return reason
    if running := counts.get(JobState.RUNNING, 0):
        return _in_hand(farm, batch, running)
    if stopping := counts.get(JobState.CANCEL_REQUESTED, 0):
        return Reason(cause=WaitCause.CANCELLING, text=f"is being cancelled: {stopping:,} clips have not stopped yet")
    if waiting is not None:
        return _waiting(WaitingJob(farm=farm, job=waiting, batch=batch))
    held = counts.get(JobState.HELD, 0)
    return Reason(
        cause=WaitCause.HELD, text=f"has {held:,} held jobs left; `reelmill resume {batch.name} --held` lets them go on"
    )


def _ended(job: JobView) -> Reason:
    if job.state is JobState.SUCCEEDED:
        return Reason(cause=WaitCause.SUCCEEDED, text=f"has succeeded{_at(job.finished_at)}", since=job.finished_at)
    if job.state is JobState.CANCELLED:
        return Reason(cause=WaitCause.CANCELLED, text=f"was cancelled{_at(job.finished_at)}", since=job.finished_at)
    error = job.error or {}
    code = error.get("code", "")
    text = f"failed{_at(job.finished_at)} because of {code}: {error.get('message', '')}"
    if code == WaitCause.EXPIRED:
        text = f"has expired: it {error.get('message', '')}"
    cause = WaitCause.EXPIRED if code == WaitCause.EXPIRED else WaitCause.FAILED
    return Reason(cause=cause, text=text, code=code, worker=job.worker, since=job.finished_at)


def _in_hand(farm: Reelmill, batch: BatchView, running: int) -> Reason:
    names = {job.worker for job in farm.ledger.jobs.page(batch.name, states=[JobState.RUNNING])}
    if error := store_error([worker for worker in farm.workers() if worker.name in names]):
        return Reason(cause=WaitCause.STORE, text=f"waits to store {running:,} clips, {_left(batch)}: {error}")
    finish_at, _ = finish_of(farm, batch)
    text = f"runs: {running:,} clips are being rendered, {_left(batch)}{_done(finish_at, batch.window)}"
    return Reason(cause=WaitCause.RUNNING, text=text, finish_at=finish_at)


def _running(job: JobView, store: str) -> Reason:
    stage = f" at {job.stage}" if job.stage else ""
    if job.state is JobState.CANCEL_REQUESTED:
        cause, text = WaitCause.CANCELLING, f"is being cancelled: {job.worker}{stage} has not stopped yet"
    else:
        cause, text = (
            WaitCause.RUNNING,
            f"runs on {job.worker}{stage}, attempt {job.attempts}{_at(job.started_at, 'since')}",
        )
    if store:
        cause, text = WaitCause.STORE, f"{text}; that worker cannot store clips: {store}"
    return Reason(cause=cause, text=text, worker=job.worker, stage=job.stage, since=job.started_at)


def _outcome(batch: BatchView) -> Reason:
    for state, cause in ((JobState.FAILED, WaitCause.FAILED), (JobState.CANCELLED, WaitCause.CANCELLED)):
        if count := batch.counts.get(state, 0):
            text = f"has ended{_at(batch.finished_at)}: of {batch.total:,} clips {count:,} {state.value}"
            return Reason(cause=cause, text=text, since=batch.finished_at)
    text = f"has succeeded{_at(batch.finished_at)}: {batch.total:,} clips"
    return Reason(cause=WaitCause.SUCCEEDED, text=text, since=batch.finished_at)


# -- why a job waits: each returns None if it is not that


def _waiting(waiting: WaitingJob) -> Reason:
    if reason := _kept_back(waiting.farm, waiting.batch):
        return reason
    for cause in _CAUSES:
        if reason := cause(waiting):
            return reason
    return _behind(waiting)


def _kept_back(farm: Reelmill, batch: BatchView) -> Reason | None:
    """Return what keeps a batch as a whole from running: a pause, its window, its start, another batch."""
    if batch.state is BatchState.PAUSED:
        paused = f"paused itself: {batch.why_paused}" if batch.why_paused else "is paused"
        left = batch.counts.get(JobState.RUNNING, 0)
        also = f" ({left:,} clips still run)" if left else ""
        text = f"{paused}{also}; `reelmill resume {batch.name}` lets it go on"
        return Reason(cause=WaitCause.PAUSED, text=text, of_batch=True)
    if not batch.waits_for:
        return None
    wait = batch.waits_for[0]
    if wait.kind == "window":
        opens = Windows.parse(batch.window).opens_next(farm.ledger.timetable.now()) if batch.window else None
        until = opens.timestamp() if opens is not None else None
        text = f"waits for its window ({batch.window}), which opens{_at(until, window=batch.window)}"
        return Reason(cause=WaitCause.WINDOW, text=text, of_batch=True, until=until)
    text = wait_text(wait, batch.window)
    return Reason(cause=WaitCause(wait.kind), text=text, of_batch=True, until=wait.until or None, waits_for=wait.batch)


def _batch_cap(waiting: WaitingJob) -> Reason | None:
    batch = waiting.batch
    if waiting.job.state is JobState.DISPATCHED or not batch.max_in_flight or _in_flight(batch) < batch.max_in_flight:
        return None
    text = f"waits because its batch has {_in_flight(batch):,} clips in flight, as many as its max_in_flight lets it"
    return _placed(waiting, WaitCause.BATCH_CAP, text)


def _owner_cap(waiting: WaitingJob) -> Reason | None:
    owner = waiting.farm.ledger.owners.get(waiting.batch.owner)
    if waiting.job.state is JobState.DISPATCHED or not owner.max_in_flight or owner.in_flight < owner.max_in_flight:
        return None
    who = f"owner {owner.name}" if owner.name else "the owner without a name"
    text = f"waits because {who} has {owner.in_flight:,} clips in flight, as many as its max_in_flight lets it"
    return _placed(waiting, WaitCause.OWNER_CAP, text)


def _no_worker(waiting: WaitingJob) -> Reason | None:
    why_not = lane_text(waiting.job.lane, waiting.farm.workers())
    if not why_not:
        return None
    return _placed(waiting, WaitCause.NO_WORKER, f"waits because {why_not}{_quarantined(waiting.lane_workers)}")


def _store(waiting: WaitingJob) -> Reason | None:
    error = store_error([worker for worker in waiting.lane_workers if worker.state is WorkerState.READY])
    if not error:
        return None
    text = f"waits because no worker of lane {waiting.job.lane} can store clips: {error}"
    return Reason(cause=WaitCause.STORE, text=text)


def _dispatched(waiting: WaitingJob) -> Reason | None:
    if waiting.job.state is not JobState.DISPATCHED:
        return None
    sent_s = waiting.farm.ledger.jobs.place(waiting.job).sent_s or 0.0
    text = f"was sent to the queue of lane {waiting.job.lane} {sent_s:.0f} s ago, and "
    reason = _placed(waiting, WaitCause.DISPATCHED, "")
    first = f"{reason.position:,} clips that start before it" if reason.position else "the next worker takes it"
    text += f"waits there behind {first}" if reason.position else first
    since = waiting.farm.ledger.timetable.now().timestamp() - sent_s
    return replace(reason, text=f"{text}{reason.text}", since=since)


def _behind(waiting: WaitingJob) -> Reason:
    reason = _placed(waiting, WaitCause.BEHIND, "")
    behind, above, priority = reason.behind or 0, reason.above or {}, waiting.job.priority
    parts = [f"{count:,} of priority {level}" for level, count in above.items()]
    if own := behind - sum(above.values()):
        parts.append(f"{own:,} of its own batch")
    text = "is next, as soon as a worker is free"
    if parts:
        text = f"waits behind {behind:,} clips ({', '.join(parts)})"
        if reason.sharing:
            text += f", in turn with {reason.sharing:,} other batches of priority {priority}"
    elif reason.sharing:
        text = (
            f"waits its turn: {(reason.position or 0):,} clips of {reason.sharing:,} other batches "
            f"of priority {priority} go first"
        )
    elif reason.position:
        text = f"waits behind {reason.position:,} less urgent clips, which were sent before"
    return replace(reason, text=f"{text}{reason.text}")


def _placed(waiting: WaitingJob, cause: WaitCause, text: str) -> Reason:
    """Return a reason with the job's position and start by the forecast; its sentence ends with the start."""
    found, starts_at = waiting.position()
    if found is None:
        return Reason(cause=cause, text=text)
    when = "" if starts_at is None else f"; it starts{_at(starts_at, 'at about', waiting.batch.window)}"
    return Reason(
        cause=cause,
        text=text + when,
        behind=found.own + sum(found.above.values()),
        above=dict(sorted(found.above.items(), reverse=True)),
        sharing=len(found.beside),
        position=found.total,
        starts_at=starts_at,
    )


def _done(finish_at: float | None, window: str) -> str:
    return "" if finish_at is None else f"; they are done{_at(finish_at, 'at about', window)}"


_CAUSES: Sequence[Callable[[WaitingJob], Reason | None]] = (
    _batch_cap,
    _owner_cap,
    _no_worker,
    _store,
    _dispatched,
)


def _in_flight(batch: BatchView) -> int:
    states = (JobState.DISPATCHED, JobState.RUNNING, JobState.CANCEL_REQUESTED)
    return sum(batch.counts.get(state, 0) for state in states)


def _left(batch: BatchView) -> str:
    return f"{batch.remaining:,} of {batch.total:,} are left"


def _quarantined(workers: Sequence[WorkerView]) -> str:
    count = sum(worker.state is WorkerState.QUARANTINED for worker in workers)
    return f" ({count:,} of {len(workers):,} quarantined)" if count else ""


def _at(seconds: float | None, word: str = "at", window: str = "") -> str:
    return "" if seconds is None else f" {word} {time_text(seconds, window)}"
