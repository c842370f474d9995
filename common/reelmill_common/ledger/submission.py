"""Submitting: jobs in chunks, each chunk one atomic call, several chunks in one round trip."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from reelmill_common.errors import InvalidJob, JobConflict
from reelmill_common.job_fields.metadata import to_json
from reelmill_common.jobs import Batch, RenderJob, job_id
from reelmill_common.ledger.base import batch_names
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.policy import more_policy, refuse_wait
from reelmill_common.ledger.records import Submitted
from reelmill_common.ledger.server import Server

CHUNK = 100
"""Jobs in one call: about a millisecond of the server's time, for which all other clients wait."""
CHUNKS = 20
"""Calls in one round trip."""


def submit(server: Server, keys: Keys, batch: Batch, jobs: Iterable[RenderJob]) -> Submitted:
    """Add jobs to a batch.

    Raises:
        JobConflict: A job is there with another spec.
        InvalidJob: A job belongs to another batch.
        NotFound: The batch should wait for one that is not there.
    """
    added = unchanged = 0
    policy: tuple[str | int, ...] = (
        batch.name,
        batch.priority,
        batch.weight,
        batch.max_in_flight,
        batch.owner,
        batch.window,
        json.dumps(more_policy(batch)),
    )
    calls = ((*policy, *_flat(chunk, batch.name)) for chunk in _chunks(jobs, CHUNK))
    while several := list(islice(calls, CHUNKS)):
        for answer in server.run_many("submit", several):
            if answer[0] == "conflict":
                _, other, row, stored = answer
                raise JobConflict(
                    f"row {row!r} of batch {batch.name!r} is there with other content (job {other}: {stored}); "
                    f"give the row another id, or submit under another batch name"
                )
            if answer[0] == "unknown":
                why, other = answer
                refuse_wait(batch.name, why, other, known=batch_names(server, keys))
            added += answer[0]
            unchanged += answer[1]
    return Submitted(added=added, unchanged=unchanged)


def conflicts(server: Server, keys: Keys, jobs: Iterable[RenderJob]) -> list[RenderJob]:
    """Return the jobs that are there already with another spec."""
    found: list[RenderJob] = []
    for chunk in _chunks(jobs, CHUNK * CHUNKS):
        (stored,) = server.read([("MGET", *(keys.spec(job.job_id) for job in chunk))])
        found += [job for job, text in zip(chunk, stored, strict=True) if text not in (None, job.spec.to_json())]
    return found


def placed(server: Server, keys: Keys, jobs: Iterable[RenderJob]) -> Iterator[RenderJob]:
    """Yield jobs by the keys that they have in their batch, or are to have.

    A row without an id of its own keeps the key under which it is there with equal content, whichever of its keys that
    is. A new one whose key another row has takes the first of its `others`.
    """
    for chunk in _chunks(jobs, CHUNK * CHUNKS):
        ids = [job_id(job.batch, row) for job in chunk if job.others for row in (*job.others, job.row)]
        stored = dict(zip(ids, *server.read([("MGET", *map(keys.spec, ids))]), strict=True)) if ids else {}
        yield from (_placed(job, stored) if job.others else job for job in chunk)


def _placed(job: RenderJob, stored: Mapping[str, str | None]) -> RenderJob:
    text, there = job.spec.to_json(), {row: stored[job_id(job.batch, row)] for row in (*job.others, job.row)}
    row = next((row for row, spec in there.items() if spec == text), "")
    row = row or (job.row if there[job.row] is None else job.others[0])
    return job if row == job.row else replace(job, row=row)


def _flat(chunk: list[RenderJob], batch: str) -> Iterator[str]:
    for job in chunk:
        if job.batch != batch:
            raise InvalidJob(f"row {job.row!r} belongs to batch {job.batch!r}, not {batch!r}; submit it there")
        yield from (job.job_id, job.row, job.lane, job.spec.to_json(), to_json(job.metadata))


def _chunks(jobs: Iterable[RenderJob], size: int) -> Iterator[list[RenderJob]]:
    rest = iter(jobs)
    while chunk := list(islice(rest, size)):
        yield chunk
