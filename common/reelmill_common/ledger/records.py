"""Records: what the ledger answers, frozen and without behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from reelmill_common.jobs import BatchState, JobState, RenderSpec
from reelmill_common.ledger.marks import ClipChoice
from reelmill_common.ledger.worker_info import WorkerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submit did: jobs that are new, jobs that the ledger had already, and how many of both were `reused`.

    These were answered with clips that were there.
    """

    added: int
    unchanged: int
    reused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A job that pump chose: what goes into one Celery message.

    Attributes:
        generation: Number that makes older messages about the job stale.
        priority: 0 to 9, 9 most urgent.
        label: Short text for Flower, at most `contract.LABEL_CHARS` characters.
    """

    job_id: str
    generation: int
    lane: str
    priority: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A lease on a job: the right to render and to publish it, until it runs out.

    Attributes:
        token: Fencing token: the number of the attempt and the word of the claim, which no other claim shares, in this
            life of the ledger or another.
        sent_s: Seconds since the job was dispatched to the broker.
        submitted_s: Unix seconds at which the job was submitted, by the server's clock.
        foreign: Number of the last attempt under whose keys another's clip may lie: one that was pruned from the
            ledger, or that was never ours.
        steady_s: Seconds for which the server has surely forgotten nothing; less than its uptime at most.
        metadata: What is known of the row beside its spec.
    """

    job_id: str
    batch: str
    row: str
    token: str
    spec: RenderSpec
    sent_s: float = field(default=0.0, compare=False)
    submitted_s: float = field(default=0.0, compare=False)
    foreign: int = field(default=0, compare=False)
    metadata: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    steady_s: float = field(default=0.0, compare=False)

    @property
    def word(self) -> str:
        """The word of the claim, which is the second half of the token."""
        return self.token.partition(".")[2]

    @property
    def attempt(self) -> int:
        """Number of the attempt, counted from 1. A later claim has a higher one, as long as the ledger remembers."""
        return int(self.token.partition(".")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """What a lane has dispatched and no worker has claimed, in the order in which it will probably be claimed.

    Attributes:
        workers: Live workers of the lane's profile that are ready.
    """

    workers: int
    specs: Sequence[RenderSpec]


class Refused(StrEnum):
    """Why a claim was refused. All are normal: the message was a stale hint."""

    UNKNOWN = "unknown"
    STALE = "stale"
    NOT_DISPATCHED = "not_dispatched"
    HELD = "held"
    UNFIT = "unfit"
    CLOSING = "closing"
    AVOIDED = "avoided"


class Orders(StrEnum):
    """The answer to a worker's report."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished attempt left behind.

    Attributes:
        key: Object key of the MP4, relative to the store's root.
        sha256: Hash of the MP4 file.
        size_bytes: Its size.
        latents_sha256: Hash of the final latents: equal for equal specs on one worker class.
        seconds: Seconds by stage.
        gpu_s: Seconds of the stages that had the GPU; 0 if it is not known.
        energy_j: What the GPU drew during these; None if it does not measure it.
        reused_from: The job that the clip was made for, if that is another one; `key` is then that one's.
    """

    key: str
    sha256: str
    size_bytes: int
    latents_sha256: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    gpu_s: float = 0.0
    energy_j: float | None = None
    reused_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an attempt took of the GPU, up to its end. `energy_j` is None where the GPU does not measure it."""

    gpu_s: float = 0.0
    energy_j: float | None = None


NOTHING = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the clips of a batch or an owner cost.

    Attributes:
        clips: Clips that were rendered and stored.
        reused: Jobs that were answered with a clip that was there.
        size_bytes: Size of the MP4s.
        gpu_s: GPU seconds of the clips.
        energy_j: What the GPUs drew for `metered` of the clips; None if none measures it.
        wasted_gpu_s: GPU seconds of attempts that made no clip, as far as their workers could report them.
        wasted_energy_j: What these drew; None if no GPU measures it.
    """

    clips: int = 0
    reused: int = 0
    size_bytes: int = 0
    gpu_s: float = 0.0
    energy_j: float | None = None
    metered: int = 0
    wasted_gpu_s: float = 0.0
    wasted_energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as the ledger has it.

    Attributes:
        lane: Its profile, or `profile@class` if only workers of a class may render it.
        priority: Its own if it was given one (`own_priority`), else its batch's.
        stage: What a running job is doing, for example `denoise 2/3`; empty otherwise.
        attempts: Claims so far.
        worker: Node name of the worker that has or had it; empty if none.
        error: `{"code": …, "message": …}` of the last failure, or None.
        submitted_at, started_at, finished_at: Unix seconds on Redis' clock, or None.
        metadata: What is known of the row beside its spec, by name.
        choice: What people said of its clip; None: nothing yet.
    """

    job_id: str
    batch: str
    row: str
    state: JobState
    spec: RenderSpec
    priority: int
    generation: int
    attempts: int
    own_priority: bool = False
    lane: str = ""
    stage: str = ""
    worker: str = ""
    error: Mapping[str, str] | None = None
    result: Result | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    choice: ClipChoice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One thing that keeps a batch from running, although it is not paused.

    Attributes:
        kind: `window` (its window is closed), `start` (its start has not come) or `after` (another batch).
        batch: Name of that batch; empty otherwise.
        until: Unix seconds of the start; 0 otherwise.
        stuck: The other batch has ended otherwise than this one wants: a person has to decide.
    """

    kind: Literal["window", "start", "after"]
    batch: str = ""
    until: float = 0.0
    stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a job stands in its own batch.

    Attributes:
        before: Jobs of its batch that go first on its lane at its priority; of a dispatched one it says nothing.
        sent_s: Seconds since it was dispatched, or None if it is not.
    """

    before: int
    sent_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerView:
    """An owner's policy.

    Attributes:
        name: As in `Batch.owner`; empty is the owner of batches that name none.
        weight: Share among owners at equal priority.
        max_in_flight: Most jobs of all its batches dispatched or running at once; 0 means no cap.
        in_flight: How many are.
    """

    name: str
    weight: int
    max_in_flight: int
    in_flight: int


def outcome_of(counts: Mapping[JobState, int]) -> str:
    """Return the outcome of a batch in one word: the worst state of its jobs; empty while that is open."""
    if counts.get(JobState.CANCEL_REQUESTED, 0):
        return "cancelling"
    if not any(counts.values()) or any(count for state, count in counts.items() if not state.is_final):
        return ""
    for state in (JobState.FAILED, JobState.CANCELLED):
        if counts.get(state, 0):
            return state.value
    return JobState.SUCCEEDED.value


class Counted:
    """What a batch's counts add up to."""

    __slots__ = ()

    counts: Mapping[JobState, int]

    @property
    def total(self) -> int:
        """Jobs in the batch."""
        return sum(self.counts.values())

    @property
    def remaining(self) -> int:
        """Jobs that are not final yet."""
        return sum(count for state, count in self.counts.items() if not state.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView(Counted):
    """One batch with its counters. Counts are kept by Lua, never scanned.

    Attributes:
        window: Hours in which it may run, as they were written; empty: always.
        shut: Whether its window is closed now, or so near its end that no clip would be done in time.
        max_failures, start_after, expires_at, finish_by, after, after_any, worker_class: As in `Batch`.
        why_paused: Why it paused itself; empty if it did not.
        waits_for: What keeps it from running; empty if nothing does, and once it is done.
        report: Object key of its contact sheet; empty if none was made yet.
        account: What it has cost so far.
        source: Name of the file that it is named after, as in `Batch`.
    """

    name: str
    state: BatchState
    priority: int
    weight: int
    max_in_flight: int
    owner: str
    counts: Mapping[JobState, int]
    created_at: float
    finished_at: float | None = None
    window: str = ""
    shut: bool = False
    max_failures: str = ""
    start_after: float = 0.0
    expires_at: float = 0.0
    finish_by: float = 0.0
    after: Sequence[str] = ()
    after_any: Sequence[str] = ()
    why_paused: str = ""
    waits_for: Sequence[Wait] = ()
    report: str = ""
    worker_class: str = ""
    account: Account = field(default_factory=Account)
    source: str = ""


class WorkerState(StrEnum):
    """Where a worker stands. `paused`: by a person. `gone`: it was leaving when it fell silent, so it is not dead."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    RESTING = "resting"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    DEAD = "dead"
    GONE = "gone"

    @property
    def is_fit(self) -> bool:
        """Whether it has its model loaded, and nothing against it: it takes jobs, or will in its hours, or did."""
        return self in (WorkerState.READY, WorkerState.DRAINING, WorkerState.RESTING, WorkerState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """One worker as the ledger has it.

    Attributes:
        name: Celery node name, for example `gpu0@render-3`.
        lane: Model profile that it serves.
        lanes: All that it serves: that, and those of its classes (`contract.lane_name`).
        info: What it reports about itself.
        reason: Why it is quarantined; empty otherwise.
        jobs: Ids of the jobs under its leases.
        seen_s: Seconds since its last beat.
        may_return: Its quarantine is for failed jobs, so it may be lifted by time: its parent waits for that.
    """

    name: str
    lane: str
    state: WorkerState
    info: WorkerInfo
    reason: str
    jobs: tuple[str, ...]
    seen_s: float
    may_return: bool = False
    lanes: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """What it has to wait for, in the server's own words, as in `store: … denied …`; empty if nothing."""
        return self.info.trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the event stream.

    Attributes:
        event_id: Redis stream id; pass it to `Events.read` to go on after it.
        name: `noun.past_verb`, for example `job.finished`, `batch.submitted`, `worker.quarantined`.
        batch, job_id, worker: What it is about; empty where it does not apply.
        fields: The rest, all text.
    """

    event_id: str
    name: str
    batch: str
    job_id: str
    worker: str
    fields: Mapping[str, str]
