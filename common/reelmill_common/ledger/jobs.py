"""Jobs: reading single jobs, and what people ask of them (cancel, hold, prioritize, retry)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import queries
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.records import JobView, QueuePlace
from reelmill_common.ledger.submission import conflicts, placed

PAGE = 1000
"""Jobs that `every` reads at once."""


class Jobs(LedgerPart):
    """Reads and controls single jobs. A method of one job or batch raises `NotFound` if it is not there."""

    def get(self, job_id: str) -> JobView:
        """Return one job."""
        found = self.find([job_id])
        if not found:
            raise NotFound(f"no job {job_id}")
        return found[0]

    def find(self, job_ids: Sequence[str]) -> list[JobView]:
        """Return the jobs of some ids, without those that the ledger does not have."""
        return queries.jobs(self._server, self._keys, job_ids)

    def page(self, batch: str, *, states: Sequence[JobState] = (), start: int = 0, count: int = 1000) -> list[JobView]:
        """Return a page of a batch's jobs in the order of submission, optionally only some states.

        `start` counts within what is asked for. Raises `NotFound`.
        """
        if not queries.batches(self._server, self._keys, [batch]):
            raise self._no_batch(batch)
        return self.find(queries.page(self._server, self._keys, batch, states, start, count))

    def ids(self, batch: str) -> list[str]:
        """Return the ids of all jobs of a batch in the order of submission; none if there is no such batch."""
        (ids,) = self._server.read([("LRANGE", self._keys.order(batch), 0, -1)])
        return list(ids)

    def every(self, batch: str, *, states: Sequence[JobState] = ()) -> Iterator[JobView]:
        """Yield a batch's jobs page by page in the order of submission, optionally only some states."""
        start = 0
        while page := self.page(batch, states=states, start=start, count=PAGE):
            yield from page
            start += len(page)

    def next_of(self, batch: str) -> JobView | None:
        """Return the job of a batch that starts next, or None if no job of it waits."""
        job_id = self._server.run("next", batch)
        return next(iter(self.find([job_id])), None) if job_id else None

    def place(self, job: JobView) -> QueuePlace:
        """Return where a job that waits or is dispatched stands in its own batch."""
        before, sent_ms = self._server.run("place", job.batch, job.lane, job.priority, job.job_id)
        return QueuePlace(before=before, sent_s=None if sent_ms < 0 else sent_ms / 1000)

    def conflicts(self, jobs: Iterable[RenderJob]) -> list[RenderJob]:
        """Return the jobs whose id the ledger already has with another spec. Pipelined; changes nothing."""
        return conflicts(self._server, self._keys, jobs)

    def placed(self, jobs: Iterable[RenderJob]) -> Iterator[RenderJob]:
        """Yield jobs by the keys that their rows have in their batch, or are to have (`RenderJob.others`)."""
        return placed(self._server, self._keys, jobs)

    def cancel(self, job_id: str) -> JobState:
        """Cancel one job: at once if it waits, by request if it runs. Return the state that it has now."""
        return self._of_job("cancel_job", job_id)

    def pause(self, job_id: str) -> JobState:
        """Hold one job, if it waits or is dispatched. Return the state that it has now: a running one goes on."""
        return self._of_job("pause_job", job_id)

    def resume(self, job_id: str) -> JobState:
        """Put a held job back in line, at its old place. Return the state that it has now."""
        return self._of_job("resume_job", job_id)

    def prioritize(self, job_id: str, priority: int) -> JobState:
        """Give one job a priority of its own; acts on the next pump. Return the state that it has now.

        It still waits for what its batch waits for: a pause, a window, a cap. A final job is left as it is.

        Raises:
            NotFound: No such job.
            InvalidJob: The priority is not 0 to 9.
        """
        return self._of_job("prioritize_job", job_id, Batch(name="any", priority=priority).priority)

    def retry(self, job_ids: Sequence[str]) -> int:
        """Queue some jobs again, those that failed or were cancelled; return how many. All must be there."""
        known = {view.job_id for view in self.find(job_ids)}
        unknown = [job_id for job_id in job_ids if job_id not in known]
        if unknown:
            raise NotFound(f"no job {', '.join(unknown[:10])}")
        answers = self._server.run_many("retry_job", [[job_id] for job_id in job_ids]) if job_ids else []
        return sum(answer[1] for answer in answers if answer)

    def redo(self, clips: Sequence[tuple[str, str]]) -> int:
        """Queue succeeded jobs again whose clips are gone, given as job id and key of the clip; return how many.

        One that has another clip by now, or goes on already, is left as it is.
        """
        return sum(self._server.run_many("redo", [list(clip) for clip in clips])) if clips else 0
