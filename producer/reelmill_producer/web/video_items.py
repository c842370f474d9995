"""Video items: jobs and models as OpenAI's API shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from reelmill_common.jobs import DELIVERY_STAGES, RENDER_STAGES, JobState
from reelmill_common.ledger import JobView
from reelmill_producer.web.video_requests import seconds_text

_STAGES = (*RENDER_STAGES, *DELIVERY_STAGES)
_STATUSES = {
    JobState.RUNNING: "in_progress",
    JobState.CANCEL_REQUESTED: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
}


class VideoError(BaseModel):
    """Why there is no video."""

    code: str = Field(description="Code of the error, as in docs/reference/errors.md; or `cancelled`.")
    message: str


class VideoItem(BaseModel):
    """A video: a job of the farm."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(description="Percent, by the stages of the job.")
    prompt: str
    size: str = Field(examples=["832x480"])
    seconds: str = Field(description="Whole where the length nearly is: 81 frames at 16 a second are 5.")
    seed: int
    frames: int
    fps: int
    created_at: int
    completed_at: int | None
    expires_at: None = None
    error: VideoError | None
    remixed_from_video_id: None = None
    metadata: dict[str, str]
    batch: str = Field(description="Its batch, below /api/v1 and for the command line.")
    row: str


class VideoPage(BaseModel):
    """Some videos."""

    object: Literal["list"] = "list"
    data: list[VideoItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """That a video is gone, or will be."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = Field(description="false: its worker has not stopped yet; the cancel stands, delete it again.")


class ModelItem(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(BaseModel):
    """The models."""

    object: Literal["list"] = "list"
    data: list[ModelItem]


def video_item(job: JobView) -> dict[str, Any]:
    """Return a job as a video; its fields are those of `VideoItem`."""
    spec = job.spec
    is_done = job.state is JobState.SUCCEEDED
    return {
        "id": job.job_id,
        "model": spec.profile,
        "status": _STATUSES.get(job.state, "queued"),
        "progress": progress_of(job),
        "prompt": spec.prompt,
        "size": f"{spec.width}x{spec.height}",
        "seconds": seconds_text(spec.frames, spec.fps),
        "seed": spec.seed,
        "frames": spec.frames,
        "fps": spec.fps,
        "created_at": int(job.submitted_at or 0),
        "completed_at": int(job.finished_at) if is_done and job.finished_at else None,
        "error": _error_of(job),
        "metadata": dict(job.metadata),
        "batch": job.batch,
        "row": job.row,
    }


def progress_of(job: JobView) -> int:
    """Return the percent of a job's stages that are behind it."""
    if job.state is JobState.SUCCEEDED:
        return 100
    if job.state not in (JobState.RUNNING, JobState.CANCEL_REQUESTED) or job.stage not in _STAGES:
        return 0
    return round(100 * (_STAGES.index(job.stage) + 0.5) / len(_STAGES))


def _error_of(job: JobView) -> dict[str, str] | None:
    if job.state is JobState.CANCELLED:
        return {"code": "cancelled", "message": "the video was cancelled before it was made"}
    if job.state is not JobState.FAILED:
        return None
    error = job.error or {}
    return {"code": error.get("code", "render_failed"), "message": error.get("message", "")}
