"""Jobs: of a batch by pages, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from reelmill_common.jobs import JobState
from reelmill_common.ledger import JobView
from reelmill_common.ledger.marks import ClipMark
from reelmill_producer.analysis.why import reason_record, why
from reelmill_producer.outputs.recipes import find_recipe
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.cursors import cursor, place_in
from reelmill_producer.web.items import job_item
from reelmill_producer.web.routes.batches import Limit
from reelmill_producer.web.schemas import PROBLEMS, Changed, ChoiceAsked, JobItem, JobPage, ReasonItem
from reelmill_producer.web.threaded_route import ThreadedRoute

LOOKED_AT = 1000
MOST_LOOKED_AT = 20_000
"""Jobs that one request looks at for a filter, in about a second."""
INDEXED = {
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.DISPATCHED,
    JobState.RUNNING,
    JobState.CANCEL_REQUESTED,
}
"""States whose jobs the ledger finds without a look at the others."""

router = APIRouter(tags=["jobs"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/batches/{batch}/jobs", response_model=JobPage)
def list_jobs(
    caller: SomeCaller,
    batch: str,
    state: Annotated[list[JobState] | None, Query(description="Only those in these states; repeatable.")] = None,
    q: Annotated[str, Query(description="Only those with this text in prompt or row.", max_length=200)] = "",
    favourite: Annotated[bool | None, Query(description="Only clips that are favourites, or rejects.")] = None,
    cursor_: Annotated[str, Query(alias="cursor", description="`next` of the page before.")] = "",
    start: Annotated[int, Query(ge=0, le=10**9, description="Without a cursor: jobs of the batch to pass over.")] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List the jobs of a batch, in the order of submission.

    A page may have fewer than `limit`, or none, where many had to be looked at: only a `next` of null is the end.
    """
    total = caller.batch(batch).total
    start = max(0, place_in(cursor_, int)[0]) if cursor_ else start

    def wanted(job: JobView) -> bool:
        return (not state or job.state in state) and (not q or _holds(q, job.spec.prompt, job.row))

    ledger = caller.farm.ledger
    if favourite is not None:
        mark = ClipMark.FAVOURITE if favourite else ClipMark.REJECT
        marked = [job for job in ledger.choices.chosen(batch, mark) if wanted(job)]
        return _page(marked[start : start + limit], start + limit, len(marked))
    if state and INDEXED.issuperset(state) and not q:
        found = ledger.jobs.page(batch, states=state, start=start, count=limit + 1)
        return _page(found[:limit], start + limit, start + len(found))
    found = list[JobView]()
    last = start + MOST_LOOKED_AT
    while len(found) < limit and start < min(total, last):
        page = ledger.jobs.page(batch, start=start, count=LOOKED_AT if state or q else limit)
        for number, job in enumerate(page, start + 1):
            if len(found) < limit:
                start = number
                found += [job] if wanted(job) else []
        if not page:
            break
    return _page(found, start, total)


def _page(jobs: Sequence[JobView], end: int, total: int) -> dict[str, Any]:
    return {"items": [job_item(job) for job in jobs], "next": cursor(end) if end < total else None}


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


@router.post("/batches/{batch}/jobs/{row}/cancel", response_model=Changed)
def cancel(caller: SomeCaller, batch: str, row: str) -> dict[str, Any]:
    """Cancel a job: at once if it waits, at its worker's next report if it runs."""
    report = caller.farm.cancel(caller.steered_job(batch, row).job_id, timeout_s=0)
    return {"count": report.touched, "unconfirmed": report.unconfirmed}


@router.post("/batches/{batch}/jobs/{row}/retry", response_model=Changed)
def retry(caller: SomeCaller, batch: str, row: str) -> dict[str, Any]:
    """Queue a job again that failed or was cancelled."""
    return {"count": caller.farm.retry(caller.steered_job(batch, row).job_id)}


@router.get("/batches/{batch}/jobs/{row}/why", response_model=ReasonItem)
def why_job(caller: SomeCaller, batch: str, row: str) -> dict[str, Any]:
    """Say why a job is where it is."""
    return reason_record(f"{batch}/{row}", *why(caller.farm, caller.job(batch, row).job_id))


@router.get(
    "/batches/{batch}/jobs/{row}/recipe",
    response_class=JSONResponse,
    responses={200: {"description": "How the clip was made, as docs/manifest.schema.json has it.",
                     "content": {"application/json": {"schema": {"type": "object"}}}}},
)  # fmt: skip
def recipe(caller: SomeCaller, batch: str, row: str) -> JSONResponse:
    """Return the recipe of a clip: everything that it takes to make it again."""
    return JSONResponse(dict(find_recipe(caller.job(batch, row).job_id, caller.farm).document))


@router.put("/batches/{batch}/jobs/{row}/choice", response_model=JobItem)
def choose(caller: SomeCaller, batch: str, row: str, asked: ChoiceAsked) -> dict[str, Any]:
    """Mark a clip as a favourite or a reject, or take the mark away."""
    job = caller.steered_job(batch, row)
    return job_item(caller.farm.choose(job.job_id, None if asked.mark == "none" else asked.mark, asked.note))
