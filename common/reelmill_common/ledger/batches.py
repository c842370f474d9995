"""Batches: submitting, reading and controlling them, and the reports that are due when they end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import queries, views
from reelmill_common.ledger.base import TOUCH_MOST, LedgerPart, batch_names, recall
from reelmill_common.ledger.policy import PolicyChange, changed_fields, refuse_wait
from reelmill_common.ledger.records import BatchView, Submitted
from reelmill_common.ledger.submission import submit
from reelmill_common.ledger.timetable import window_state


class Batches(LedgerPart):
    """Submits, reads and controls whole batches. A method of one batch raises `NotFound` if it is not there."""

    def submit(self, batch: Batch, jobs: Iterable[RenderJob]) -> Submitted:
        """Add jobs to a batch, making the batch if it is new. A job that is there already is left as it is.

        Streams: jobs are sent in chunks, each chunk one atomic call, several chunks in one pipeline. A batch that
        is there keeps its policy (`set_policy` and `prioritize` change it). Without jobs nothing is made.

        Raises:
            JobConflict: A job is there with another spec; nothing of its chunk was added.
            InvalidJob: A job belongs to another batch.
            NotFound: The batch should wait for one that is not there.
        """
        submitted = submit(self._server, self._keys, batch, jobs)
        if batch.window:  # it is closed until its window was looked at
            self._server.run("update_window", batch.name, batch.window, 0, *window_state(batch.window, self._now()))
        return submitted

    def get(self, name: str) -> BatchView:
        """Return one batch."""
        found = queries.batches(self._server, self._keys, [name])
        if not found:
            raise self._no_batch(name)
        return found[0]

    def exists(self, name: str) -> bool:
        """Return whether there is a batch of that name."""
        return bool(queries.batches(self._server, self._keys, [name]))

    def all(self) -> list[BatchView]:
        """Return all batches, newest first."""
        return queries.batches(self._server, self._keys, queries.batch_names(self._server, self._keys))

    def cancel(self, batch: str) -> int:
        """Cancel whatever of a batch is not final; return how many jobs that touched."""
        total, more, place = 0, True, "0"
        while more:
            touched, more, place = self._of_batch("cancel_batch", batch, TOUCH_MOST, place)
            total += touched
        return total

    def pause(self, batch: str) -> None:
        """Dispatch nothing more of a batch; messages already sent die at claim, running jobs go on."""
        self._of_batch("pause", batch)
        recall(self._server)

    def resume(self, batch: str) -> None:
        """Undo `pause`, also where the batch paused itself. Jobs that are held stay held."""
        self._of_batch("resume", batch)

    def resume_held(self, batch: str) -> int:
        """Put all held jobs of a batch back in line; return how many."""
        return self._in_pieces("resume_held", batch)

    def _in_pieces(self, function: str, batch: str) -> int:
        """Call a function until nothing is left for it; return how many jobs that touched."""
        total, left = 0, 1
        while left:
            touched, left = self._of_batch(function, batch, TOUCH_MOST)
            total += touched
        return total

    def prioritize(self, batch: str, priority: int) -> None:
        """Change the priority of everything in a batch that waits; acts on the next pump.

        Jobs with a priority of their own keep it.

        Raises:
            NotFound: No such batch.
            InvalidJob: The priority is not 0 to 9.
        """
        self._of_batch("prioritize", batch, Batch(name="any", priority=priority).priority)
        recall(self._server)

    def set_policy(self, view: BatchView, change: PolicyChange) -> None:
        """Change some of a batch's policy except its priority (`prioritize`); acts on the next clip that starts.

        Raises:
            NotFound: No such batch, or one that it should wait for is not there.
            InvalidJob: A value is out of range, or batches would wait for each other.
        """
        changes = changed_fields(view, change)
        answer = self._of_batch("policy", view.name, json.dumps(changes)) if changes else 1
        if isinstance(answer, list):
            why, other = answer
            refuse_wait(view.name, why, other, known=batch_names(self._server, self._keys))
        recall(self._server)

    def retry(
        self, batch: str, *, states: Sequence[JobState] = (JobState.FAILED, JobState.CANCELLED), code: str = ""
    ) -> int:
        """Queue a batch's failed and cancelled jobs again with their failures counted from zero; return how many.

        `JobView.attempts` goes on counting: it is the fencing token, and may never fall.

        Args:
            batch: Its name.
            states: Only jobs of these.
            code: Only jobs whose last error has this code; empty: any.
        """
        letters = "".join(views.LETTERS[state] for state in states)
        total, place = 0, 0
        while place >= 0:
            queued, place = self._of_batch("retry", batch, TOUCH_MOST, place, letters, code)
            total += queued
        return total

    def take_report(self, *, turn_s: float) -> tuple[str, int] | None:
        """Return a batch that has ended and has no report yet, and when it ended (Unix ms); None if there is none.

        No other caller gets the same batch for `turn_s` seconds.
        """
        while (found := self._server.run("report_take", turn_s)) is not None:
            batch, ended = found
            if batch:
                return batch, ended
        return None

    def report_made(self, batch: str, ended: int, key: str) -> bool:
        """Note that a batch's report is in the store; False if the batch has gone on meanwhile."""
        return bool(self._server.run("report_made", batch, ended, key))
