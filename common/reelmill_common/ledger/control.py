"""Steering: cancel, pause, resume, prioritise and retry, on batches and jobs."""

from __future__ import annotations

from collections.abc import Sequence

from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import queries, views
from reelmill_common.ledger.base import TOUCH_MOST, LedgerPart


class ControlCalls(LedgerPart):
    """What people ask of batches and jobs."""

    def cancel_job(self, job_id: str) -> JobState:
        """Cancel one job: at once if it waits, by request if it runs. Return the state that it has now.

        Raises:
            NotFound: No such job.
        """
        return self._of_job("cancel_job", job_id)

    def cancel_batch(self, batch: str) -> int:
        """Cancel whatever of a batch is not final; return how many jobs that touched.

        Raises:
            NotFound: No such batch.
        """
        total, waiting = 0, 1
        while waiting:
            touched, waiting = self._of_batch("cancel_batch", batch, TOUCH_MOST)
            total += touched
        return total

    def pause_batch(self, batch: str) -> None:
        """Dispatch nothing more of a batch; messages already sent die at claim, running jobs go on.

        Raises:
            NotFound: No such batch.
        """
        self._of_batch("pause", batch)

    def resume_batch(self, batch: str) -> None:
        """Undo `pause_batch`, also where the batch paused itself. Jobs that are held stay held.

        Raises:
            NotFound: No such batch.
        """
        self._of_batch("resume", batch)

    def pause_job(self, job_id: str) -> JobState:
        """Hold one job, if it waits or is dispatched. Return the state that it has now: a running one goes on.

        Raises:
            NotFound: No such job.
        """
        return self._of_job("pause_job", job_id)

    def resume_job(self, job_id: str) -> JobState:
        """Put a held job back in line, at its old place. Return the state that it has now.

        Raises:
            NotFound: No such job.
        """
        return self._of_job("resume_job", job_id)

    def resume_held(self, batch: str) -> int:
        """Put all held jobs of a batch back in line; return how many.

        Raises:
            NotFound: No such batch.
        """
        total, left = 0, 1
        while left:
            touched, left = self._of_batch("resume_held", batch, TOUCH_MOST)
            total += touched
        return total

    def prioritize_batch(self, batch: str, priority: int) -> None:
        """Change the priority of everything in a batch that waits; acts on the next pump.

        Jobs with a priority of their own keep it.

        Raises:
            NotFound: No such batch.
            InvalidJob: The priority is not 0 to 9.
        """
        self._of_batch("prioritize", batch, Batch(name="any", priority=priority).priority)

    def prioritize_job(self, job_id: str, priority: int) -> JobState:
        """Give one job a priority of its own; acts on the next pump. Return the state that it has now.

        It still waits for what its batch waits for: a pause, a window, a cap. A final job is left as it is.

        Raises:
            NotFound: No such job.
            InvalidJob: The priority is not 0 to 9.
        """
        return self._of_job("prioritize_job", job_id, Batch(name="any", priority=priority).priority)

    def retry_failed(
        self, batch: str, *, states: Sequence[JobState] = (JobState.FAILED, JobState.CANCELLED), code: str = ""
    ) -> int:
        """Queue a batch's failed and cancelled jobs again with their failures counted from zero; return how many.

        `JobView.attempts` goes on counting: it is the fencing token, and may never fall.

        Args:
            batch: Its name.
            states: Only jobs of these.
            code: Only jobs whose last error has this code; empty: any.

        Raises:
            NotFound: No such batch.
        """
        letters = "".join(views.LETTERS[state] for state in states)
        total, place = 0, 0
        while place >= 0:
            queued, place = self._of_batch("retry", batch, TOUCH_MOST, place, letters, code)
            total += queued
        return total

    def retry_jobs(self, job_ids: Sequence[str]) -> int:
        """Queue some jobs again, those that failed or were cancelled; return how many. All must be there.

        Raises:
            NotFound: No such job.
        """
        known = {view.job_id for view in queries.jobs(self._server, self._keys, job_ids)}
        unknown = [job_id for job_id in job_ids if job_id not in known]
        if unknown:
            raise NotFound(f"no job {', '.join(unknown[:10])}")
        answers = self._server.run_many("retry_job", [[job_id] for job_id in job_ids]) if job_ids else []
        return sum(answer[1] for answer in answers if answer)

    def redo_jobs(self, clips: Sequence[tuple[str, str]]) -> int:
        """Queue succeeded jobs again whose clips are gone, given as job id and key of the clip; return how many.

        One that has another clip by now, or goes on already, is left as it is.
        """
        return sum(self._server.run_many("redo", [list(clip) for clip in clips])) if clips else 0

    def _of_job(self, function: str, job_id: str, *args: str | float) -> JobState:
        letter = self._server.run(function, job_id, *args)
        if letter is None:
            raise NotFound(f"no job {job_id}")
        return views.STATES[letter]
