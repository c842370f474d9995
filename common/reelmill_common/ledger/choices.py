"""Choices: which clips people want, kept in the ledger until the batch is pruned, and exported with its results."""

from __future__ import annotations

from reelmill_common.errors import NotFound
from reelmill_common.ledger import queries
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.ledger.marks import ClipChoice, ClipMark, choice_text
from reelmill_common.ledger.records import JobView


class Choices(LedgerPart):
    """Keeps what people said of clips. A retry of the job leaves it as it is."""

    def set(self, job_id: str, choice: ClipChoice | None) -> None:
        """Mark a job's clip, in place of what was said of it before; None takes the mark away.

        Raises:
            NotFound: No such job.
            InvalidJob: The note cannot be kept.
        """
        text, mark = ("", "") if choice is None else (choice_text(choice), choice.mark.value)
        if not self._server.run("choose", job_id, text, mark):
            raise NotFound(f"no job {job_id}")

    def chosen(self, batch: str, mark: ClipMark) -> list[JobView]:
        """Return the jobs of a batch that have a mark, in the order of submission.

        Costs as much as there are marks in the batch, not as there are jobs. Raises `NotFound`.
        """
        if not queries.batches(self._server, self._keys, [batch]):
            raise self._no_batch(batch)
        (choices,) = self._server.read([("HGETALL", self._keys.choices(batch))])
        ids = [job_id for job_id, text in choices.items() if text.startswith(mark.value[0])]
        places = self._server.read([("HGET", self._keys.job(job_id), "n") for job_id in ids]) if ids else []
        ordered = sorted((int(place), job_id) for place, job_id in zip(places, ids, strict=True) if place)
        return queries.jobs(self._server, self._keys, [job_id for _, job_id in ordered])
