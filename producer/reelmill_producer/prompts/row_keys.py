"""Keys of rows without an id: distinct within a submit, and equal to those that the batch has already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reelmill_common.errors import JobConflict
from reelmill_common.jobs import RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.text.names import hashed
from reelmill_producer.prompts.row_names import row_name


@dataclass(frozen=True, slots=True)
class Placed:
    """Jobs with the keys that they have in an existing batch; can be iterated as often as `jobs` can."""

    ledger: Ledger
    jobs: Iterable[RenderJob]

    def __iter__(self) -> Iterator[RenderJob]:
        return self.ledger.jobs.placed(self.jobs)


def unnamed_job(batch: str, spec: RenderSpec, metadata: Mapping[str, str] | None = None) -> RenderJob:
    """Return a row without an id as a job: named after its content; earlier versions named it by its digest."""
    name = row_name(spec)
    others = (hashed(name, spec.digest), spec.digest)
    return RenderJob(batch=batch, row=name, spec=spec, metadata=metadata or {}, others=others)


def distinct(jobs: Sequence[RenderJob]) -> list[RenderJob]:
    """Return jobs of one batch, each content once; of two with one name the second gets its other name.

    Raises:
        JobConflict: An id is given twice with different content.
    """
    ids = {job.row for job in jobs if not job.others}
    found: dict[str, RenderJob] = {}
    for job in jobs:
        is_taken = job.others and (job.row in ids or found.get(job.row, job) != job)
        placed = replace(job, row=job.others[0]) if is_taken else job
        if found.setdefault(placed.row, placed) != placed:
            raise JobConflict(f"row {job.row!r} is given twice with different content; nothing was submitted")
    return list(found.values())
