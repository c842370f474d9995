"""Batches of videos: where the jobs of `/v1/videos` are, one batch an owner and a day (UTC)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from reelmill_common.errors import JobConflict, NotFound
from reelmill_common.jobs import Batch, RenderJob, job_id
from reelmill_common.ledger import BatchView, JobView
from reelmill_common.text.names import hashed, slug
from reelmill_producer.client import Reelmill
from reelmill_producer.web.callers import Caller
from reelmill_producer.web.video_requests import VideoRequest

PREFIX = "videos-"
"""What their names begin with."""
SEED_BITS = 31
MOST_SLUG = 32


def batch_name(owner: str, now: datetime) -> str:
    """Return the name of an owner's batch of a day, as in `videos-ann-20261129`."""
    name = slug(owner)[:MOST_SLUG] if owner else ""
    middle = name if name == owner else hashed(name, owner)
    return f"{PREFIX}{middle}{'-' * bool(middle)}{now.astimezone(UTC):%Y%m%d}"


def create(caller: Caller, request: VideoRequest, key: str) -> JobView:
    """Make a video; with a key that was used before, return what was made then.

    Args:
        caller: Who asks.
        request: What for.
        key: The `Idempotency-Key`, or an empty text: each request makes a video.

    Raises:
        NotAllowed: They may not submit.
        JobConflict: The key was used before with another request.
    """
    farm, owner = caller.farm, caller.principal.owner_of_new(None)
    now = farm.ledger.timetable.now()
    mark = hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest() if key else secrets.token_hex(32)
    row, spec = f"v-{mark[:32]}", request.spec
    if not request.has_seed:  # each video its own, and the same if the same request is sent again
        spec = replace(spec, seed=int(mark[32:40], 16) >> (32 - SEED_BITS))
    days = (now, now - timedelta(days=1)) if key else (now,)
    names = [free_name(farm, batch_name(owner, day), owner) for day in days]
    for found in farm.ledger.jobs.find([job_id(name, row) for name in names]) if key else ():
        if found.spec != spec:
            raise JobConflict("this Idempotency-Key was used before with another request; take a new key")
        return found
    job = RenderJob(batch=names[0], row=row, spec=spec, metadata=request.metadata)
    farm.submit_jobs(Batch(name=names[0], owner=owner), [job])
    return farm.job(job.job_id)


def free_name(farm: Reelmill, name: str, owner: str) -> str:
    """Return the name, with a number behind it where another owner has taken it."""
    for number in count(1):
        numbered = name if number == 1 else f"{name}-{number}"
        if not farm.has_batch(numbered) or farm.batch(numbered).owner == owner:
            return numbered
    raise AssertionError("unreachable")


def find(caller: Caller, video_id: str) -> JobView:
    """Return a video that the caller may see. Raises `NotFound`."""
    found = caller.job_of_id(video_id)
    if not found.batch.startswith(PREFIX):
        raise NotFound(f"no video {video_id[:80]!r}; jobs of other batches are below /api/v1")
    return found


def ids_of(caller: Caller, *, newest_first: bool) -> Iterator[str]:
    """Yield the ids of all videos that the caller may see, by their creation."""

    def wanted(view: BatchView) -> bool:
        return view.name.startswith(PREFIX) and caller.principal.may_see(view.owner)

    views = filter(wanted, caller.farm.batches())
    for view in sorted(views, key=lambda view: (view.created_at, view.name), reverse=newest_first):
        ids = caller.farm.ledger.jobs.ids(view.name)
        yield from reversed(ids) if newest_first else ids
