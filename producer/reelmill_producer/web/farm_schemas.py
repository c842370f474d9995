"""Schemas of the farm: what the API takes and answers about workers, plans, schedules, owners, webhooks, sessions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reelmill_producer.web.schemas import BatchPolicy


class WorkerJob(BaseModel):
    """What a worker renders; the names are null if it belongs to another owner."""

    id: str | None
    batch: str | None
    row: str | None
    stage: str
    since: float


class WorkerItem(BaseModel):
    """A worker."""

    name: str = Field(examples=["gpu0@render-3"])
    lane: str
    lanes: list[str]
    state: str
    reason: str
    may_return: bool
    seen_s: float
    jobs: int
    job: WorkerJob | None
    idle: str = Field(description="Why it renders nothing; empty while it does.")
    info: dict[str, Any]


class WorkerList(BaseModel):
    """All workers, by name."""

    items: list[WorkerItem]


class QuarantineAsked(BaseModel):
    """Why a worker is to take no more jobs."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class ForecastItem(BaseModel):
    """The forecast of a batch."""

    batch: str
    priority: int
    remaining: int
    finish_at: float | None
    left: int
    why: str
    window: str
    spans: list[tuple[float, float]] = Field(description="Hours until its end in which its window is open.")


class LaneItem(BaseModel):
    """The workers of a lane and their pace."""

    lane: str
    workers: int
    seconds_per_clip: float | None
    measured_clips: int
    clips_per_hour: float | None


class PlanItem(BaseModel):
    """The forecast of all batches that are not done."""

    now: float
    by: float | None
    left: int
    batches: list[ForecastItem]
    lanes: list[LaneItem]


class ScheduleAsked(BaseModel):
    """A schedule: rows that become a batch again and again."""

    model_config = ConfigDict(extra="forbid")

    cron: str = Field(examples=["0 22 * * *"])
    tz: str = Field(examples=["Europe/Vienna"])
    rows: list[str | dict[str, Any]] = Field(max_length=100_000)
    catch_up: Literal["skip", "once"] = "skip"
    policy: BatchPolicy = BatchPolicy()
    seeds: str = ""


class ScheduleItem(BaseModel):
    """A schedule."""

    name: str
    cron: str
    tz: str
    catch_up: str
    policy: dict[str, Any]
    owner: str
    jobs: int
    paused: bool
    created_at: float
    next_at: float | None
    last_at: float | None
    last_batch: str
    error: str


class ScheduleList(BaseModel):
    """All schedules, by name."""

    items: list[ScheduleItem]


class RunAnswer(BaseModel):
    """The batch of a run."""

    batch: str


class OwnerItem(BaseModel):
    """An owner's share of the farm."""

    owner: str
    weight: int
    max_in_flight: int
    in_flight: int


class OwnerList(BaseModel):
    """All owners, by name."""

    items: list[OwnerItem]


class OwnerAsked(BaseModel):
    """What to change of an owner."""

    model_config = ConfigDict(extra="forbid")

    weight: int | None = None
    max_in_flight: int | None = None


class AccountItem(BaseModel):
    """What clips have cost."""

    owner: str
    clips: int
    reused: int
    size_bytes: int
    gpu_s: float
    energy_j: float | None
    metered: int
    wasted_gpu_s: float
    wasted_energy_j: float | None
    cost: float | None
    wasted_cost: float | None
    currency: str


class AccountList(BaseModel):
    """The accounts of owners."""

    since: str | None
    items: list[AccountItem]


class WebhookAsked(BaseModel):
    """A receiver of notifications."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(max_length=2000, examples=["https://hooks.example.com/reelmill"])
    kind: Literal["standard", "slack", "discord", "teams", "email"] | None = None
    events: list[str] = Field(default=[], max_length=100)
    secret: str = Field(default="", max_length=200)
    headers: list[str] = Field(default=[], max_length=20, description="Each as `Name: value`.")


class WebhookItem(BaseModel):
    """A webhook and its receiver's health; secrets and paths are not shown."""

    webhook: str
    kind: str
    target: str
    events: list[str]
    headers: list[str]
    created_at: float
    failing_since: float | None
    disabled: str
    waiting: int
    dropped: int


class WebhookList(BaseModel):
    """All webhooks, oldest first."""

    items: list[WebhookItem]


class WebhookMade(BaseModel):
    """A webhook that was added; its secret is shown only now, unless it was given."""

    webhook: str
    secret: str


class SignIn(BaseModel):
    """A token to sign in with."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)


class SessionItem(BaseModel):
    """Who makes the request."""

    name: str
    role: Literal["viewer", "submitter", "operator"]
    owner: str | None
    csrf: str = Field(description="For the header `X-Reelmill-CSRF`; empty without a token.")
    open: bool = Field(description="Whether no token is needed.")


class Health(BaseModel):
    """That the process answers."""

    status: Literal["ok"] = "ok"


class Links(BaseModel):
    """Pages beside the console; null where none is set."""

    flower: str | None
    grafana: str | None


class Alert(BaseModel):
    """Something that a person should look at."""

    name: str
    text: str
    worker: str = ""
    batch: str = ""


class FarmItem(BaseModel):
    """The farm as a whole."""

    name: str
    version: str
    profile: str
    workers: dict[str, int] = Field(description="Workers by state.")
    rates: dict[str, float] = Field(description="`clips_an_hour`: clips stored in the last hour, by hour.")
    waiting: int
    running: int
    alerts: list[Alert]
    links: Links
