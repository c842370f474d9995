"""Steering: cancel, pause, resume, prioritise and retry, on batches and jobs."""

from __future__ import annotations

from reelmill_common.errors import NotFound
from reelmill_common.jobs import Batch, JobState
from reelmill_common.ledger import views
from reelmill_common.ledger.side import TOUCH_MOST, Side


class Steering(Side):
    """What people ask of batches and jobs."""

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
        total, left = self._of_batch("retry", batch, TOUCH_MOST)
        goal = total + left  # jobs that fail again meanwhile are not retried twice by one call
        while left and total < goal:
            touched, left = self._of_batch("retry", batch, min(TOUCH_MOST, goal - total))
            total += touched
        return total
