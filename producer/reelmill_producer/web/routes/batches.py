"""Batches: listed, read, and submitted."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request

from reelmill_common.ledger import BatchView
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.cursors import MOST, cursor, place_in
from reelmill_producer.web.items import batch_item
from reelmill_producer.web.schemas import (
    PROBLEMS,
    BatchItem,
    BatchPage,
    CheckAnswer,
    CheckQuery,
    CreateQuery,
    SubmitAnswer,
    SubmitQuery,
)
from reelmill_producer.web.submissions import check, create, submit
from reelmill_producer.web.threaded_route import ThreadedRoute
from reelmill_producer.web.uploads import FILES, JSON, uploaded

router = APIRouter(tags=["batches"], responses=PROBLEMS, route_class=ThreadedRoute)

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items of the page.")]
Cursor = Annotated[str, Query(description="`next` of the page before.")]


@router.get("/batches", response_model=BatchPage)
def list_batches(
    caller: SomeCaller,
    owner: Annotated[str | None, Query(description="Only those of this owner.")] = None,
    active: Annotated[bool | None, Query(description="Only those with work left, or only those without.")] = None,
    cursor_: Annotated[str, Query(alias="cursor", description="`next` of the page before.")] = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """List batches, newest first."""
    last = place_in(cursor_, float, str) if cursor_ else None

    def wanted(view: BatchView) -> bool:
        return (
            (owner is None or view.owner == owner)
            and (active is None or bool(view.remaining) is active)
            and (last is None or [-view.created_at, view.name] > last)
        )

    found = sorted(filter(wanted, caller.seen_batches()), key=lambda view: (-view.created_at, view.name))
    page = found[:limit]
    more = cursor(-page[-1].created_at, page[-1].name) if len(found) > limit else None
    ends = caller.console.forecaster.ends(caller.farm) if any(view.remaining for view in page) else {}
    items = [batch_item(view, ends.get(view.name) if view.remaining else None) for view in page]
    return {"items": items, "next": more}


@router.get("/batches/{batch}", response_model=BatchItem)
def show_batch(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Return one batch."""
    view = caller.batch(batch)
    return batch_item(view, caller.console.forecaster.finish_of(caller.farm, batch) if view.remaining else None)


ROWS = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "rows": {
                            "type": "array",
                            "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
                            "description": "Prompts, or objects with the columns of a prompt file.",
                        },
                        "policy": {"$ref": "#/components/schemas/BatchPolicy"},
                    },
                },
                "example": {"rows": ["a red fox in the snow", {"prompt": "an owl at dusk", "seed": 7, "id": "owl"}]},
            },
            **{kind: {"schema": {"type": "string"}} for kind in FILES},
        },
    }
}


SomeQuery = Annotated[SubmitQuery, Query()]


SomeCheck = Annotated[CheckQuery, Query()]
SomeCreate = Annotated[CreateQuery, Query()]
Key = Annotated[str, Header(alias="Idempotency-Key", max_length=255, description="Names this very submission.")]


@router.put("/batches/{batch}", response_model=SubmitAnswer, openapi_extra=ROWS)
async def put_batch(request: Request, caller: SomeCaller, batch: str, query: SomeQuery) -> dict[str, Any]:
    """Submit rows to a batch, which is made if it is new; rows that it has already are left as they are."""
    async with uploaded(request) as upload:
        return await to_thread.run_sync(submit, caller, batch, upload, query, limiter=caller.console.submissions)


@router.post("/batches", response_model=SubmitAnswer, openapi_extra=ROWS)
async def post_batch(
    request: Request, caller: SomeCaller, query: SomeCreate, idempotency_key: Key = ""
) -> dict[str, Any]:
    """Submit rows to a new batch; the same `Idempotency-Key` and body again are about the same batch."""
    async with uploaded(request) as upload:
        return await to_thread.run_sync(
            create, caller, upload, query, idempotency_key, limiter=caller.console.submissions
        )


@router.post("/batches:check", response_model=CheckAnswer, openapi_extra=ROWS)
async def check_batch(request: Request, caller: SomeCaller, query: SomeCheck) -> dict[str, Any]:
    """Say what a submission would do, with every bad row and an estimate; nothing is submitted."""
    async with uploaded(request) as upload:
        return await to_thread.run_sync(check, caller, upload, query, limiter=caller.console.submissions)
