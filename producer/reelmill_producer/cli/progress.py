"""Progress of a batch on stderr: a bar and one line per running clip on a terminal, else one line per ended clip."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from reelmill_common.errors import JobCancelled, LedgerReadOnly, LedgerUnavailable, RenderFailed
from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES, JobState
from reelmill_common.ledger import BatchView, Event, JobView
from reelmill_common.ledger.failure_causes import causes
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.why import obstacle
from reelmill_producer.cli.console import inform, require_reader
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import Session
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import IN_HAND, event_record

REFRESH_S = 0.2
RETRY_S = 1.0
"""Seconds between tries while Redis does not answer."""
OBSTACLE_AFTER_S = 3.0
"""Seconds without news after which a reason is looked for; an idle worker takes a job within milliseconds."""

TEXTS = {
    "job.finished": "succeeded",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
    "job.requeued": "again",
    "job.reused": "reused",
}


class Display(Protocol):
    """Where progress is shown."""

    def show(self, view: BatchView, in_hand: Sequence[JobView]) -> None:
        """Show how far the batch is."""
        ...

    def note(self, text: str) -> None:
        """Show a line that stays."""
        ...


def follow(session: Session, batch: str, *, after: str = "", events_as_json: bool = False) -> BatchView:
    """Show a batch's progress until nothing of it remains; return it as it is then.

    Args:
        session: The farm.
        batch: Its name.
        after: Id of the event after which to go on; by default from the batch's beginning.
        events_as_json: Print each event on stdout as well.

    While Redis does not answer, or takes no writes, this says so once and waits for it.

    Raises:
        WorkerUnfit: The embedded worker has ended.
        LedgerUnavailable: The embedded farm is gone.
    """
    with _display() as display:
        watch = _Watch(session=session, batch=batch, display=display, after=after, events_as_json=events_as_json)
        try:
            while (view := watch.to_the_end()) is None:
                session.check()  # an embedded farm that has ended brings no more news
                time.sleep(RETRY_S)
        except KeyboardInterrupt:
            display.note(_going_on(session, batch))
            raise
        display.show(view, ())
    return view


def _going_on(session: Session, batch: str) -> str:
    """Say what happens to a batch after the wait for it has ended, and how to follow or to end it."""
    ended = f"`reelmill cancel {batch}` ends it"
    if session.idle:
        return f"what is left of batch {batch} waits for the next farm here: `reelmill up` goes on with it, {ended}"
    return f"batch {batch} goes on; `reelmill watch {batch}` follows it, {ended}"


def require_success(view: BatchView, farm: Reelmill | None = None) -> None:
    """Refuse a batch with clips that were not rendered; `farm` says whether another try may help.

    Raises:
        RenderFailed: Some clips failed.
        JobCancelled: None failed, but some were cancelled.
    """
    failed, cancelled = (view.counts.get(state, 0) for state in (JobState.FAILED, JobState.CANCELLED))
    if failed:
        raise RenderFailed(
            f"{failed:,} of {view.total:,} clips failed; `reelmill status {view.name}` says why, "
            f"{_next_try(view, farm)}"
        )
    if cancelled:
        raise JobCancelled(
            f"{cancelled:,} of {view.total:,} clips were cancelled; `reelmill retry {view.name}` queues them again"
        )


def _next_try(view: BatchView, farm: Reelmill | None) -> str:
    jobs = farm.ledger.jobs.page(view.name, states=[JobState.FAILED], count=1000) if farm is not None else []
    found = causes(view.name, [job.error or {} for job in jobs])
    hopeless = sum(cause.count for cause in found if not cause.retry)
    if not hopeless:
        return f"`reelmill retry {view.name}` tries them again"
    others = [cause.retry for cause in found if cause.retry]
    tries = f"`{'`, `'.join(others)}` tries the others again" if others else "change them and submit them again"
    return f"{hopeless:,} of them can only fail again ({', '.join(c.code for c in found if not c.retry)}); {tries}"


def label(job: JobView, most: int = 0) -> str:
    """Return how people know a clip: by its row (in an earlier version: what it shows) and its seed.

    Args:
        job: The clip's job.
        most: Characters at which the row is cut, the seed is not; 0: no limit.
    """
    if job.row == job.spec.digest:
        return f"{textwrap.shorten(job.spec.prompt, 40, placeholder=' …')!r} seed {job.spec.seed}"
    end = f"-s{job.spec.seed}"
    name, seed = (job.row.removesuffix(end), end) if job.row.endswith(end) else (job.row, f" seed {job.spec.seed}")
    room = most - len(seed)
    return f"{name}{seed}" if not most or len(name) <= room else f"{name[: max(1, room - 1)]}…{seed}"


class _Watch:
    """What the person has seen of a batch so far."""

    def __init__(self, *, session: Session, batch: str, display: Display, after: str, events_as_json: bool) -> None:
        self._session, self._farm, self._batch, self._display = session, session.farm, batch, display
        self._after, self._events_as_json = after, events_as_json
        self._shown_at = self._news_at = 0.0
        self._obstacle = self._outage = ""

    def to_the_end(self) -> BatchView | None:
        """Show what happens until nothing of the batch remains; return it, or None when Redis is lost on the way.

        A later call goes on after the last event that was shown.
        """
        try:
            self._after = self._after if self._after != "$" else self._farm.ledger.events.newest()
            for events in self._farm.rounds(self._batch, after=self._after):
                jobs = self._ended_jobs(events)
                for event in events:
                    if event.job_id in jobs:
                        self._note_event(event, jobs[event.job_id])
                    if self._events_as_json:
                        print_json(event_record(event))
                    self._after = event.event_id
                if self._events_as_json:
                    require_reader()
                self._session.check()
                self.refresh(news=bool(events))
                self._is_back()
            return self._farm.batch(self._batch)
        except (LedgerUnavailable, LedgerReadOnly) as err:
            if not self._outage:
                self._display.note(f"{err}; waiting for it")
            self._outage = str(err)
            return None

    def _is_back(self) -> None:
        if self._outage:
            self._display.note("Redis is back")
        self._outage = ""

    def _ended_jobs(self, events: Sequence[Event]) -> dict[str, JobView]:
        """Return the jobs that events to be shown are about, read at once: the way to Redis may be long."""
        ids = dict.fromkeys(event.job_id for event in events if event.name in TEXTS)
        return {job.job_id: job for job in self._farm.ledger.jobs.find(list(ids))}

    def _note_event(self, event: Event, job: JobView) -> None:
        word = TEXTS.get(event.name)
        if word is None:
            return
        why = event.fields.get("message") or event.fields.get("reason") or event.fields.get("key", "")
        self._display.note(printable(f"{label(job)} {word}" + (f": {why}" if why else "")))

    def refresh(self, *, news: bool) -> None:
        now = time.monotonic()
        self._news_at = now if news or not self._news_at else self._news_at
        if now - self._shown_at >= REFRESH_S:
            self._shown_at = now
            self._display.show(self._farm.batch(self._batch), list(self._farm.jobs(self._batch, states=IN_HAND)))
        if now - self._news_at >= OBSTACLE_AFTER_S:
            self._news_at = now
            self._note_obstacle(obstacle(self._farm, self._batch, coming=self._session.coming))

    def _note_obstacle(self, text: str) -> None:
        if text and text != self._obstacle:
            self._display.note(text)
        self._obstacle = text


def _lost(view: BatchView) -> str:
    counts = ((state, view.counts.get(state, 0)) for state in (JobState.FAILED, JobState.CANCELLED))
    return "".join(f", {count:,} {state.value}" for state, count in counts if count)


class _LineDisplay:
    """Plain lines: for logs and pipes."""

    def __init__(self) -> None:
        self._view: BatchView | None = None

    def show(self, view: BatchView, in_hand: Sequence[JobView]) -> None:
        del in_hand
        if self._view is None or view.remaining != self._view.remaining:
            inform(f"{view.name}: {view.total - view.remaining}/{view.total} done{_lost(view)}")
        self._view = view

    def note(self, text: str) -> None:
        inform(f"  {text}")


class _Bars:
    """A bar for the batch, and below it a line with its stage for each clip that runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._batch: TaskID | None = None
        self._clips: dict[str, TaskID] = {}

    def show(self, view: BatchView, in_hand: Sequence[JobView]) -> None:
        done = view.total - view.remaining
        if self._batch is None:
            self._batch = self._progress.add_task(view.name, total=view.total, completed=done)
        self._progress.update(self._batch, description=view.name + _lost(view), total=view.total, completed=done)
        for job_id in self._clips.keys() - {job.job_id for job in in_hand}:
            self._progress.remove_task(self._clips.pop(job_id))
        for job in in_hand:
            text = f"  {label(job, 32)} {job.stage or job.state.value}"
            if job.job_id not in self._clips:
                self._clips[job.job_id] = self._progress.add_task(text, total=len(_STAGES))
            self._progress.update(self._clips[job.job_id], description=text, completed=_stages_done(job.stage))

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


_STAGES = (*RENDER_STAGES, *DELIVERY_STAGES)


def _stages_done(stage: str) -> int:
    """Return how many stages are behind a clip."""
    return _STAGES.index(stage) if stage in _STAGES else 0


@contextmanager
def _display() -> Generator[Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineDisplay()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=5) as progress:
        yield _Bars(progress)
