"""Jobs: of a batch by pages, and one by one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from reelmill_common.jobs import JobState
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.cursors import cursor, place_in
from reelmill_producer.web.items import job_item
from reelmill_producer.web.routes.batches import Limit
from reelmill_producer.web.schemas import PROBLEMS, JobItem, JobPage

router = APIRouter(tags=["jobs"], responses=PROBLEMS)


@router.get("/batches/{batch}/jobs", response_model=JobPage)
def list_jobs(
    caller: SomeCaller,
    batch: str,
    state: Annotated[list[JobState] | None, Query(description="Only those in these states; repeatable.")] = None,
    q: Annotated[str, Query(description="Only those with this text in prompt or row.", max_length=200)] = "",
    cursor_: Annotated[str, Query(alias="cursor", description="`next` of the page before.")] = "",
    start: Annotated[int, Query(ge=0, le=10**9, description="Without a cursor: jobs of the batch to pass over.")] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List the jobs of a batch, in the order of submission."""
    view = caller.batch(batch)
    start = place_in(cursor_, int) if cursor_ else start
    jobs = caller.farm.ledger.jobs
    items: list[dict[str, Any]] = []
    while len(items) < limit and start < view.total:
        page = jobs.page(batch, start=start, count=limit if not (state or q) else 1000)
        if not page:
            break
        for job in page:
            start += 1
            if (not state or job.state in state) and (not q or _holds(q, job.spec.prompt, job.row)):
                items.append(job_item(job))
                if len(items) == limit:
                    break
    return {"items": items, "next": cursor(start) if start < view.total else None}


def _holds(text: str, *fields: str) -> bool:
    return any(text.casefold() in field.casefold() for field in fields)


@router.get("/batches/{batch}/jobs/{row}", response_model=JobItem)
def show_job(caller: SomeCaller, batch: str, row: str) -> dict[str, Any]:
    """Return a job by its place."""
    return job_item(caller.job(batch, row))


@router.get("/jobs/{job_id}", response_model=JobItem)
def show_job_of_id(caller: SomeCaller, job_id: str) -> dict[str, Any]:
    """Return a job by its id."""
    return job_item(caller.job_of_id(job_id))
