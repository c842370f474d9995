"""Jobs: of a batch by pages, and one by one."""

from __future__ import annotations

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

router = APIRouter(tags=["jobs"], responses=PROBLEMS)


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
    """List the jobs of a batch, in the order of submission."""
    view = caller.batch(batch)
    start = max(0, place_in(cursor_, int)[0]) if cursor_ else start

    def wanted(job: JobView) -> bool:
        return (not state or job.state in state) and (not q or _holds(q, job.spec.prompt, job.row))

    jobs = caller.farm.ledger.jobs
    if favourite is not None:
        mark = ClipMark.FAVOURITE if favourite else ClipMark.REJECT
        marked = [job for job in caller.farm.ledger.choices.chosen(batch, mark) if wanted(job)]
        page, end = marked[start : start + limit], start + limit
        return {"items": [job_item(job) for job in page], "next": cursor(end) if end < len(marked) else None}
    items: list[dict[str, Any]] = []
    while len(items) < limit and start < view.total:
        page = jobs.page(batch, start=start, count=1000 if state or q else limit)
        if not page:
            break
        for job in page:
            start += 1
            if wanted(job):
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
