"""Schemas: what the API takes and answers about batches and their jobs, as OpenAPI has it, and its problems."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reelmill_common.jobs import BatchState, JobState
from reelmill_producer.verification.verdicts import FileVerdict

COUNTS = ("queued", "held", "dispatched", "running", "cancel_requested", "succeeded", "failed", "cancelled")


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:reelmill:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Code of the error, as in docs/reference/errors.md.", examples=["not_found"])
    advice: str = Field(description="What to do; empty if that is not known.")
    lines: list[WrongLine] | None = None


class WrongLine(BaseModel):
    """A line or a row that cannot become a job."""

    line: int = Field(description="Counted from 1; of JSON rows, the number of the row.")
    reason: str
    text: str = ""


class WaitItem(BaseModel):
    """One thing that keeps a batch from running."""

    kind: Literal["window", "start", "after"]
    batch: str = ""
    until: float = 0.0
    stuck: bool = False


class BatchItem(BaseModel):
    """A batch."""

    name: str = Field(examples=["night-7"])
    owner: str
    state: BatchState
    outcome: str = Field(description="`succeeded`, `failed`, `cancelled` or `cancelling`; empty while it is open.")
    counts: dict[str, int] = Field(description="Jobs by state.")
    total: int
    remaining: int
    paused: bool
    why_paused: str
    priority: int
    weight: int
    max_in_flight: int
    max_failures: str
    window: str
    start_after: float | None
    expires_at: float | None
    finish_by: float | None = Field(description="Deadline for all of it, in Unix seconds; null: none.")
    after: list[str]
    after_any: list[str]
    worker_class: str
    waits_for: list[WaitItem]
    created_at: float
    finished_at: float | None
    finish_expected_at: float | None = Field(description="When the last clip will be done; null if not known.")
    in_time: bool | None = Field(
        description="Whether `finish_by` is met, by the forecast until it has ended; null: it has none, or not known."
    )


class BatchPage(BaseModel):
    """Some batches, newest first."""

    items: list[BatchItem]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class ClipItem(BaseModel):
    """The clip of a job."""

    key: str
    bytes: int
    duration_s: float
    sha256: str
    gpu_s: float
    reused_from: str | None


class VerdictItem(BaseModel):
    """What a clip's file in the store says of its origin, and whether that holds."""

    verdict: FileVerdict | None = Field(description="As `reelmill verify` gives it; null: it cannot be verified here.")
    reason: str = Field(description="Why, where the verdict alone does not say it.")
    signer: str = Field(description="As the file names it; only with the verdict `signed` somebody vouches for it.")
    time_stamp: str = Field(description="When a time-stamp authority saw the signature; empty: none did.")
    as_stored: bool = Field(description="Whether the file has the SHA-256 that was recorded when it was stored.")


class ChoiceItem(BaseModel):
    """What a person said of a clip."""

    mark: Literal["favourite", "reject"]
    note: str


class JobError(BaseModel):
    """Why the last attempt failed."""

    code: str
    message: str


class JobItem(BaseModel):
    """A job."""

    id: str
    batch: str
    row: str
    prompt: str
    seed: int
    width: int
    height: int
    frames: int
    fps: int
    profile: str
    state: JobState
    stage: str
    attempts: int
    priority: int
    worker: str
    error: JobError | None
    clip: ClipItem | None
    choice: ChoiceItem | None
    metadata: dict[str, str]
    submitted_at: float | None
    started_at: float | None
    finished_at: float | None
    updated_at: float | None


class JobPage(BaseModel):
    """Some jobs of a batch, in the order of submission."""

    items: list[JobItem]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class BatchPolicy(BaseModel):
    """The policy of a batch, as the options of `reelmill submit` have it. Absent fields are left as they are."""

    model_config = ConfigDict(extra="forbid")

    priority: int | None = Field(default=None, description="0 to 9, 9 most urgent.", examples=[5])
    window: str | None = Field(
        default=None, description="Hours in which it may run.", examples=["22:00-07:00 Europe/Vienna"]
    )
    owner: str | None = Field(default=None, description="Who it is for; a token may allow one owner only.")
    weight: int | None = Field(default=None, description="Share among the owner's batches, 1 to 100.")
    max_in_flight: int | None = Field(default=None, description="Most jobs at once; 0: no cap.")
    max_failures: str | None = Field(default=None, description="`10` or `5%`, at which it pauses; `none`: never.")
    start_after: str | None = Field(
        default=None, description="A time such as `22:00`, `2026-12-24T22:00` or `8h`; or `none`."
    )
    expires: str | None = Field(default=None, description="Likewise: after it no job starts.")
    finish_by: str | None = Field(
        default=None,
        description="Likewise: by then all of it should be done. The batch keeps it; it changes no order.",
    )
    after: list[str] | None = Field(default=None, description="Batches whose clips must all have succeeded before.")
    after_any: list[str] | None = Field(default=None, description="Batches that must have ended before.")
    worker_class: str | None = Field(default=None, description="Class of worker that alone renders it.")


class SubmitQuery(BatchPolicy):
    """What the query of a submission may say: the policy, and how the rows are read."""

    seeds: str = Field(default="", description="Render each row with each of these, such as `0..4`.")
    column: list[str] = Field(default=[], description="Meaning of a column, as `prompt=caption`; repeatable.")
    profile: str = Field(default="", description="Model profile of rows that name none.")
    reuse: str = Field(default="", description="`same` or `any`: equal clips that are there answer jobs.")
    skip_invalid: bool = Field(default=False, description="Submit the good rows of a bad file.")

    def policy(self) -> BatchPolicy:
        """Return the policy alone."""
        return BatchPolicy(**{name: getattr(self, name) for name in BatchPolicy.model_fields})


class CheckQuery(SubmitQuery):
    """What the query of a dry run may say."""

    batch: str = Field(default="", description="Name of the batch; by default one that is not there.")


class CreateQuery(SubmitQuery):
    """What the query of a submission without a name in its path may say."""

    batch: str = Field(
        default="", description="Name of the batch; by default one made of the `Idempotency-Key`, or at random."
    )


class RowReport(BaseModel):
    """What a check of rows found."""

    rows: int = Field(description="Different jobs.")
    duplicates: int
    skipped: int = Field(description="Bad lines that were left out.")
    notes: list[str] = Field(description="What was assumed of the file.")


class SubmitAnswer(BaseModel):
    """What a submit did."""

    batch: str
    added: int
    unchanged: int
    reused: int
    finish_expected_at: float | None = Field(description="When the last clip will be done; null if not known.")
    in_time: bool | None = Field(description="Whether that is by its `finish_by`; null: it has none, or not known.")
    report: RowReport


class EstimateItem(BaseModel):
    """What a submit would take; null where that is not known."""

    seconds: float | None = Field(description="Until the last clip is done.")
    finish_at: float | None
    gpu_hours: float | None
    cost: float | None
    currency: str
    in_time: bool | None = Field(description="Whether `finish_by` would be met; null: there is none, or not known.")
    unknown: str = Field(description="Why something is not known.")


class CheckAnswer(BaseModel):
    """The result of a dry run; nothing was submitted."""

    batch: str
    rows: int
    duplicates: int
    bad: list[WrongLine]
    bad_count: int
    new: int
    unchanged: int
    conflicts: int = Field(description="Rows that are there with other content: a submit would be refused.")
    notes: list[str]
    estimate: EstimateItem


class Changed(BaseModel):
    """How many jobs an action touched."""

    count: int
    unconfirmed: int = Field(default=0, description="Running jobs that still have to stop.")


class RetryAsked(BaseModel):
    """Which jobs of a batch to queue again; none: all that failed or were cancelled."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(default="", description="Only those whose last error has this code.")
    states: list[Literal["failed", "cancelled"]] = []
    rows: list[str] = Field(default=[], max_length=10_000, description="Only these rows or ids.")


class ResumeAsked(BaseModel):
    """What else to resume."""

    model_config = ConfigDict(extra="forbid")

    held: bool = Field(default=False, description="Release jobs that were held one by one, too.")


class PolicyAsked(BaseModel):
    """What to change of a batch; absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid")

    priority: int | None = Field(default=None, description="0 to 9, 9 most urgent.")
    window: str | None = Field(default=None, description="Hours in which it may run; empty: always.")
    weight: int | None = None
    max_in_flight: int | None = None
    max_failures: str | None = None
    start_after: str | None = None
    expires: str | None = None
    finish_by: str | None = None
    after: list[str] | None = None
    after_any: list[str] | None = None


class ChoiceAsked(BaseModel):
    """A mark for a clip."""

    model_config = ConfigDict(extra="forbid")

    mark: Literal["favourite", "reject", "none"]
    note: str = Field(default="", max_length=500)


class CauseItem(BaseModel):
    """Jobs that failed for one reason."""

    code: str
    count: int
    message: str
    retry: bool = Field(description="Whether another try may help.")
    advice: str


class CauseList(BaseModel):
    """Why jobs of a batch failed, the most frequent cause first."""

    items: list[CauseItem]
    counted: int = Field(description="Failed jobs that were looked at.")


class ReasonItem(BaseModel):
    """Why a batch or a job is where it is."""

    model_config = ConfigDict(extra="allow")

    target: str
    state: str
    sentence: str
    cause: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "There is no valid token.",
        403: "The role or the owner of the token does not allow it.",
        404: "There is no such thing, or it belongs to another owner.",
        408: "The body came too slowly.",
        409: "It is there already with other content, or in a state that does not allow it.",
        413: "The body is too large.",
        415: "The type of the body is not known.",
        421: "The console is not known by this host name.",
        422: "What is asked for cannot be done as it is; `lines` has each bad row.",
        429: "Too many requests; `Retry-After` says when to ask again.",
        502: "The store, or a document in it, is not as it should be.",
        503: "Redis or the store is away; `Retry-After` says when to ask again.",
    }.items()
}
"""What every route may answer beside its own."""
