"""Batches: listed, read, and submitted."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request

from reelmill_common.ledger import BatchView
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.cursors import MOST, cursor, place_in
from reelmill_producer.web.items import batch_item
from reelmill_producer.web.schemas import PROBLEMS, BatchItem, BatchPage, SubmitAnswer, SubmitQuery
from reelmill_producer.web.submissions import submit
from reelmill_producer.web.uploads import FILES, JSON, uploaded

router = APIRouter(tags=["batches"], responses=PROBLEMS)

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
    last = place_in(cursor_, list) if cursor_ else None

    def wanted(view: BatchView) -> bool:
        return (
            caller.principal.may_see(view.owner)
            and (owner is None or view.owner == owner)
            and (active is None or bool(view.remaining) is active)
            and (last is None or [-view.created_at, view.name] > last)
        )

    found = sorted(filter(wanted, caller.farm.batches()), key=lambda view: (-view.created_at, view.name))
    page = found[:limit]
    more = cursor([-page[-1].created_at, page[-1].name]) if len(found) > limit else None
    return {"items": [batch_item(view, None) for view in page], "next": more}


@router.get("/batches/{batch}", response_model=BatchItem)
def show_batch(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Return one batch."""
    return batch_item(caller.batch(batch), None)


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


@router.put("/batches/{batch}", response_model=SubmitAnswer, openapi_extra=ROWS)
async def put_batch(request: Request, caller: SomeCaller, batch: str, query: SomeQuery) -> dict[str, Any]:
    """Submit rows to a batch, which is made if it is new; rows that it has already are left as they are."""
    async with uploaded(request) as upload:
        return await to_thread.run_sync(submit, caller, batch, upload, query)
