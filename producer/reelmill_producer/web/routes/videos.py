"""Videos: the routes that OpenAI's clients speak, as SGLang Diffusion and vLLM-Omni serve them too."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from reelmill_common.profiles import PROFILES
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.error_answers import OPENAI
from reelmill_producer.web.openai_errors import ERRORS, Unable
from reelmill_producer.web.routes import clips
from reelmill_producer.web.threaded_route import ThreadedRoute
from reelmill_producer.web.video_batches import create, find, ids_of
from reelmill_producer.web.video_items import ModelList, VideoDeleted, VideoItem, VideoPage, video_item
from reelmill_producer.web.video_requests import SPEC, body_of, read_request

router = APIRouter(prefix=OPENAI, tags=["videos"], responses=ERRORS, route_class=ThreadedRoute)

_ELSEWHERE = "the model makes videos from a prompt alone; create one with POST /v1/videos"


_FIELDS = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string"},
        "model": {"type": "string", "description": "A profile or its repository. Default: the farm's."},
        "size": {"type": "string", "description": "A size of the model's menu, as `832x480`."},
        "seconds": {"type": "string", "description": "A length of the model's menu."},
        "seed": {"type": "integer", "description": "Default: a new one each time."},
        **{name: {} for name in SPEC if name not in ("prompt", "seed")},
        "num_frames": {"type": "integer", "description": "Instead of seconds."},
        "metadata": {"type": "object", "description": "Kept beside the video."},
        "extra": {"type": "object", "description": "Further fields, as beside it."},
    },
}
_EXAMPLE = {"prompt": "a red fox in the snow", "size": "832x480", "seconds": "5", "seed": 7}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _FIELDS, "example": _EXAMPLE},
            "multipart/form-data": {"schema": _FIELDS},
        },
    }
}


@router.post("/videos", response_model=VideoItem, openapi_extra=_BODY)
async def create_video(
    request: Request,
    caller: SomeCaller,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="A request with a key that was used before makes no second video.")
    ] = "",
) -> dict[str, Any]:
    """Make a video: a job in the owner's batch of the day."""
    body = await body_of(request)
    return await to_thread.run_sync(_created, caller, body, idempotency_key)


def _created(caller: Caller, body: dict[str, Any], key: str) -> dict[str, Any]:
    return video_item(create(caller, read_request(body, caller.farm.settings), key))


@router.get("/videos", response_model=VideoPage)
def list_videos(
    caller: SomeCaller,
    after: Annotated[str, Query(description="Id of the last video of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="Most videos of the page.")] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: the newest first.")] = "desc",
) -> dict[str, Any]:
    """List the videos, newest first."""
    ids = ids_of(caller, newest_first=order == "desc")
    if after:
        find(caller, after)
        ids = islice(dropwhile(lambda known: known != after, ids), 1, None)
    page = list(islice(ids, limit + 1))
    items = [video_item(job) for job in caller.farm.ledger.jobs.find(page[:limit])]
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": len(page) > limit}


@router.get("/videos/{video_id}", response_model=VideoItem)
def show_video(caller: SomeCaller, video_id: str) -> dict[str, Any]:
    """Return a video with its progress."""
    return video_item(find(caller, video_id))


@router.get("/videos/{video_id}/content", response_class=Response, responses=clips.CONTENT)
def video_content(
    caller: SomeCaller,
    video_id: str,
    variant: Annotated[str, Query(description="`video` (MP4) or `thumbnail` (JPEG).")] = "video",
    range_: clips.RangeHeader = "",
    if_range: Annotated[str, Header(alias="If-Range")] = "",
    if_none_match: Annotated[str, Header(alias="If-None-Match")] = "",
) -> Response:
    """Return the file of a video, or a part of it."""
    job = find(caller, video_id)
    if variant == "thumbnail":
        return clips.poster(caller, job.batch, job.row, if_none_match)
    if variant != "video":
        raise Unable("variant", f"variant {variant[:40]!r} is not made; use 'video' or 'thumbnail'")
    return clips.content(caller, job.batch, job.row, range_=range_, if_range=if_range, if_none_match=if_none_match)


@router.delete("/videos/{video_id}", response_model=VideoDeleted)
def delete_video(caller: SomeCaller, video_id: str) -> dict[str, Any]:
    """Cancel a video and forget it: no worker renders it any more. A file that is stored stays in the store."""
    found = find(caller, video_id)
    return {"id": video_id, "deleted": caller.delete_job(found.batch, found.row)}


@router.post("/videos/edits", status_code=400, response_model=None, include_in_schema=False)
@router.post("/videos/extensions", status_code=400, response_model=None, include_in_schema=False)
@router.post("/videos/characters", status_code=400, response_model=None, include_in_schema=False)
@router.post("/videos/{video_id}/remix", status_code=400, response_model=None, include_in_schema=False)
async def refuse(caller: SomeCaller, request: Request) -> None:  # noqa: ARG001 - who asks needs a token here too
    """Refuse what the model cannot do."""
    what = request.url.path.rpartition("/")[2]
    raise Unable(what, f"{what} is not possible: {_ELSEWHERE}", code="unsupported_operation")


@router.get("/models", response_model=ModelList)
async def list_models(caller: SomeCaller) -> dict[str, Any]:  # noqa: ARG001 - as above
    """List the models."""
    return {
        "data": [
            {"id": name, "owned_by": (profile.repo or "reelmill").partition("/")[0]}
            for name, profile in PROFILES.items()
        ]
    }
