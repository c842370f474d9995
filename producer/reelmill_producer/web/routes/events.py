"""Events: what happens, as it happens, by server-sent events."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.events import FeedEvent, Wanted, place_of
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["events"], responses=PROBLEMS, route_class=ThreadedRoute)
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as they come. `id` is the place in the stream, `event` the name, `data` what "
        "`reelmill watch --json` prints. `event: gap` says that some are missing: read anew, and go on. `event: away` "
        "says that Redis does not answer, `event: back` that it does again; nothing is missing then.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1767225600000-0\nevent: job.finished\ndata: {"event_id": "1767225600000-0", …}\n\n',
            }
        },
    }
}
FARM_WIDE = ("worker.", "ledger.")
"""Beginnings of the events about no batch that everyone may see; others are for those who see all owners."""
LastId = Annotated[str, Header(alias="Last-Event-ID", description="Id of the last event that was received.")]
AfterId = Annotated[str, Query(description="As `Last-Event-ID`, which goes before it.")]


@router.get("/events", response_class=StreamingResponse, responses=STREAM)
async def follow_farm(
    caller: SomeCaller,
    batch: Annotated[str, Query(description="Only the events of this batch.")] = "",
    after: AfterId = "",
    last_event_id: LastId = "",
) -> StreamingResponse:
    """Follow the farm, or one batch."""
    return await _stream(caller, batch, last_event_id or after)


@router.get("/batches/{batch}/events", response_class=StreamingResponse, responses=STREAM)
async def follow_batch(
    caller: SomeCaller, batch: str, after: AfterId = "", last_event_id: LastId = ""
) -> StreamingResponse:
    """Follow one batch."""
    return await _stream(caller, batch, last_event_id or after)


async def _stream(caller: Caller, batch: str, after: str) -> StreamingResponse:
    feed = caller.console.feed
    feed.require_room()
    if after:
        place_of(after)
    if batch:
        await to_thread.run_sync(caller.batch, batch, limiter=feed.one)
    return StreamingResponse(
        feed.follow(_wanted(caller, batch), after=after, token=caller.principal.name),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def _wanted(caller: Caller, batch: str) -> Wanted:
    """Return which events a caller gets, of one batch or of all that they may see."""
    if batch:
        return lambda entry: entry.batch == batch
    principal = caller.principal
    if principal.owner is None:
        return lambda _: True

    def seen(entry: FeedEvent) -> bool:
        if entry.batch:
            return entry.owner is not None and principal.may_see(entry.owner)
        return entry.name.startswith(FARM_WIDE)

    return seen
