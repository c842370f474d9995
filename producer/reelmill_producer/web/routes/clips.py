"""Clips: the content of the MP4 and of its poster, and the verdict on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from reelmill_common.errors import NotFound
from reelmill_common.ledger import Result
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_producer.verification.stored_clip import StoredVerdict, verify_stored
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.schemas import PROBLEMS, VerdictItem
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["clips"], responses=PROBLEMS, route_class=ThreadedRoute)

PIECE_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
BYTES = {"schema": {"type": "string", "format": "binary"}}
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": {"video/mp4": BYTES}},
    206: {"description": "The part that `Range` asks for."},
    304: {"description": "`If-None-Match` has its ETag."},
    307: {"description": "With `redirect`: a link of the store that needs no token and expires."},
    416: {"description": "`Range` begins behind its end."},
}
RangeHeader = Annotated[str, Header(alias="Range", description="One range, as `bytes=0-1023`.")]


@router.get("/batches/{batch}/clips/{row}", response_class=StreamingResponse, responses=CONTENT)
def content(
    caller: SomeCaller,
    batch: str,
    row: str,
    redirect: Annotated[bool, Query(description="Redirect to the store, if it has links.")] = False,  # noqa: FBT002
    range_: RangeHeader = "",
    if_range: Annotated[str, Header(alias="If-Range")] = "",
    if_none_match: Annotated[str, Header(alias="If-None-Match")] = "",
) -> Response:
    """Return a clip: the whole MP4, or a part of it."""
    result = _result(caller, batch, row)
    store = caller.farm.store
    if redirect and store.links_last_s is not None:
        return RedirectResponse(store.url(result.key), 307)
    tag = f'"{result.sha256}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if tag in if_none_match or if_none_match.strip() == "*":
        return Response(status_code=304, headers=headers)
    asked = part_of(range_, result.size_bytes) if range_ and if_range in ("", tag) else None
    name = f"{batch}-{row}.mp4"
    headers["Content-Disposition"] = f'inline; filename="{name}"'
    start, end = asked or (0, result.size_bytes)
    headers["Content-Length"] = str(end - start)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{result.size_bytes}"
    pieces = opened_part(store, result.key, start, end)
    return StreamingResponse(pieces, 206 if asked else 200, headers, media_type="video/mp4")


@router.get(
    "/batches/{batch}/clips/{row}/poster",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": BYTES}}},
)
def poster(
    caller: SomeCaller, batch: str, row: str, if_none_match: Annotated[str, Header(alias="If-None-Match")] = ""
) -> Response:
    """Return a clip's poster, a JPEG."""
    result = _result(caller, batch, row)
    tag = f'"{result.sha256}-poster"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in if_none_match:
        return Response(status_code=304, headers=headers)
    body = caller.farm.store.get(beside(result.key, ".jpg"), most_bytes=20_000_000)
    return Response(body, headers=headers, media_type="image/jpeg")


@router.get("/batches/{batch}/clips/{row}/verdict", response_model=VerdictItem)
async def verdict(caller: SomeCaller, batch: str, row: str) -> dict[str, Any]:
    """Verify a clip's file as it is in the store: signed, altered, or not signed and like its fingerprint."""
    verify = partial(_verdict, caller, batch, row)
    return (await to_thread.run_sync(verify, limiter=caller.console.verifications)).record()


def _verdict(caller: Caller, batch: str, row: str) -> StoredVerdict:
    return verify_stored(_result(caller, batch, row), caller.farm.store, caller.console.settings)


def _result(caller: Caller, batch: str, row: str) -> Result:
    job = caller.job(batch, row)
    if job.result is None:
        raise NotFound(f"job {job.batch}/{job.row} is {job.state} and has no clip")
    return job.result


def part_of(text: str, size: int) -> tuple[int, int] | None:
    """Return the bytes that a `Range` header asks for, from and up to; None for what is to be passed over.

    Raises:
        Refusal: 416: it begins behind the end.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found.groups() == ("", ""):
        return None  # several ranges, or another unit: RFC 9110 lets a server send the whole
    first, last = found.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= end:
        raise Refusal(416, f"the file has {size:,} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, end


def opened_part(store: ClipStore, key: str, start: int, end: int) -> Iterator[bytes]:
    """Open an object at once, so that its absence is told in time, and yield the bytes of a part."""
    stack = ExitStack()
    stream = stack.enter_context(store.open(key, start=start))

    def pieces() -> Iterator[bytes]:
        left = end - start
        with stack:
            while left and (piece := stream.read(min(left, PIECE_BYTES))):
                left -= len(piece)
                yield piece

    return pieces()
