"""Reports: why a batch does not go on, what failed, and its results as a page, as lines and as an archive of clips."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from reelmill_common.jobs import JobState
from reelmill_common.ledger.failure_causes import causes
from reelmill_common.prices import Prices
from reelmill_common.report.facts import gather
from reelmill_producer.analysis.why import reason_record, why
from reelmill_producer.outputs.results_file import is_favourite, results_of
from reelmill_producer.web.archives import archive_of
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.schemas import PROBLEMS, CauseList, ReasonItem
from reelmill_producer.web.sheets import sheet_of
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["reports"], responses=PROBLEMS, route_class=ThreadedRoute)

MOST_FAILED = 10_000
"""Failed jobs that are looked at for their causes."""
Favourites = Annotated[bool, Query(description="Only clips that are marked as favourites.")]


@router.get("/batches/{batch}/failures", response_model=CauseList)
def failures(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Group the failed jobs of a batch by cause."""
    caller.batch(batch)
    jobs = list(islice(caller.farm.jobs(batch, states=[JobState.FAILED]), MOST_FAILED))
    found = causes(batch, [job.error or {} for job in jobs])
    items = [
        {"code": one.code, "count": one.count, "message": one.message, "retry": bool(one.retry), "advice": one.advice}
        for one in found
    ]
    return {"items": items, "counted": len(jobs)}


@router.get("/batches/{batch}/why", response_model=ReasonItem)
def why_batch(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Say why a batch does not go on, or how it does."""
    caller.batch(batch)
    return reason_record(batch, *why(caller.farm, batch))


@router.get(
    "/batches/{batch}/report",
    response_class=Response,
    responses={200: {"description": "The facts, or with `Accept: text/html` the contact sheet.",
                     "content": {"application/json": {"schema": {"type": "object"}},
                                 "text/html": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def report(caller: SomeCaller, batch: str, accept: Annotated[str, Header()] = "") -> Response:
    """Return the outcome of a batch, as facts or as a contact sheet."""
    view, farm = caller.batch(batch), caller.farm
    facts = gather(view, farm.jobs(batch), made_at=time.time(), prices=Prices.of(farm.settings))
    if "text/html" not in accept:
        return JSONResponse(facts.record())
    html, policy = sheet_of(facts)
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Vary": "Accept"})


@router.get(
    "/batches/{batch}/results.jsonl",
    response_class=StreamingResponse,
    responses={200: {"description": "A line for each job that has ended.",
                     "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def results(caller: SomeCaller, batch: str, favourites: Favourites = False) -> Response:  # noqa: FBT002
    """Return the outcome of each job that has ended, in the order of submission, as `reelmill export` prints it."""
    caller.batch(batch)
    found = results_of(caller.farm, batch)
    lines = (
        json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in found if not favourites or is_favourite(one)
    )
    headers = {"Content-Disposition": f'attachment; filename="{batch}.jsonl"'}
    return StreamingResponse(begun(lines), headers=headers, media_type="application/x-ndjson")


@router.get(
    "/batches/{batch}/clips.zip",
    response_class=StreamingResponse,
    responses={200: {"description": "All finished clips.", "content": {"application/zip": {"schema": {"type": "string",
               "format": "binary"}}}}},
)  # fmt: skip
def archive(caller: SomeCaller, batch: str, favourites: Favourites = False) -> Response:  # noqa: FBT002
    """Return the finished clips of a batch as one archive, which is made while it is read."""
    caller.batch(batch)
    pieces = archive_of(caller.farm, batch, favourites=favourites)
    headers = {"Content-Disposition": f'attachment; filename="{batch}.zip"'}
    return StreamingResponse(begun(pieces), headers=headers, media_type="application/zip")


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Make the first piece, so that an error becomes an answer and not half a body; return all."""
    first = next(pieces, b"")
    return chain([first], pieces)
