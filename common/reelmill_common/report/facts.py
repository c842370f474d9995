"""The facts of a report: counted once, from the ledger alone, and shown by `page` and `summary`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from reelmill_common.jobs import JobState
from reelmill_common.ledger.failure_causes import FailureCause, causes
from reelmill_common.ledger.records import BatchView, JobView, Result, outcome_of
from reelmill_common.prices import Prices, gpu_seconds
from reelmill_common.provenance.batch_index import MadeIndex
from reelmill_common.storage.keys import beside

SCHEMA_VERSION = 1
FREE = Prices()
MOST_ENTRIES = 5000
"""Most jobs that are shown one by one, about 4 MB of a page; all are counted, and `reelmill export` lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job on the sheet.

    Attributes:
        key: Object key of the MP4; empty without a clip.
        signature: What its manifest says of its signed mark, see `MarkFacts`; empty if that is not known.
        gpu_s: GPU seconds of the attempt that won; 0 if they are not known.
        code, message: Code and message of the failure; empty without one.
        metadata: What the prompt file says of the row beside what to render.
    """

    job_id: str
    row: str
    state: str
    prompt: str
    seed: int
    facts: str
    attempts: int
    worker: str
    key: str = ""
    signature: str = ""
    gpu_s: float = 0.0
    code: str = ""
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def poster_key(self) -> str:
        """Key of the JPEG."""
        return beside(self.key, ".jpg")

    @property
    def manifest_key(self) -> str:
        """Key of the recipe."""
        return beside(self.key, ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a batch.

    Attributes:
        span_s: Seconds from the first clip's start to the last one's end; 0 if none has ended.
        clips_per_h: Stored clips per hour of that span.
        gpu_s: GPU seconds of the clips that were stored.
        energy_j: Joules that the GPUs drew for them, as far as they report it; None if none does.
        cost: Cost of both at the settings' prices; None without a price.
        wasted_gpu_s: GPU seconds of attempts that made no clip, as far as they are known.
        currency: Currency of the cost.
        stages: Mean seconds by stage.
        workers: Stored clips by worker.
        entries: The first `MOST_ENTRIES` of its jobs.
        made_at: Unix seconds.
        profiles: Profiles of its jobs.
        marks: Clips by their signed mark, see `MarkFacts`; `unknown`: the manifest names none.
        fingerprints: Clips that `reelmill verify` recognises in a copy.
    """

    batch: str
    owner: str
    state: str
    counts: Mapping[str, int]
    created_at: float
    finished_at: float | None
    span_s: float
    clips_per_h: float
    gpu_s: float
    energy_j: float | None
    cost: float | None
    wasted_gpu_s: float
    currency: str
    stages: Mapping[str, float]
    workers: Mapping[str, int]
    failures: Sequence[FailureCause]
    entries: Sequence[Entry]
    made_at: float
    profiles: Sequence[str] = ()
    marks: Mapping[str, int] = field(default_factory=dict[str, int])
    fingerprints: int = 0

    @property
    def total(self) -> int:
        """Jobs in the batch."""
        return sum(self.counts.values())

    @property
    def outcome(self) -> str:
        """The outcome of the batch in a word, or its state until it has ended."""
        return outcome_of({JobState(state): count for state, count in self.counts.items()}) or self.state

    @property
    def stored(self) -> int:
        """Number of clips in the store."""
        return self.counts.get(JobState.SUCCEEDED.value, 0)

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def gather(
    batch: BatchView,
    jobs: Iterable[JobView],
    *,
    made_at: float,
    prices: Prices = FREE,
    marks: MadeIndex | None = None,
) -> Report:
    """Count the results of a batch; its jobs are shown in their order. `made_at` is in Unix seconds."""
    totals = _Totals(signatures=marks.signatures if marks else {})
    for job in jobs:
        totals.add(job)
    span_s = max(0.0, totals.last - totals.first) if totals.last else 0.0
    energy_j = round(totals.energy_j, 3) if totals.metered else None
    cost = prices.cost(totals.gpu_s, energy_j)
    return Report(
        batch=batch.name,
        owner=batch.owner,
        state=batch.state.value,
        counts={state.value: count for state, count in batch.counts.items() if count},
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        span_s=round(span_s, 3),
        clips_per_h=round(totals.stored * 3600 / span_s, 1) if span_s else 0.0,
        gpu_s=round(totals.gpu_s, 3),
        energy_j=energy_j,
        cost=None if cost is None else round(cost, 4),
        wasted_gpu_s=batch.account.wasted_gpu_s,
        currency=prices.currency,
        stages={stage: round(total / count, 4) for stage, (total, count) in totals.stages.items()},
        workers=dict(totals.workers.most_common()),
        failures=causes(batch.name, totals.errors),
        entries=totals.entries,
        made_at=made_at,
        profiles=sorted(totals.profiles),
        marks=marks.counts if marks else {},
        fingerprints=marks.fingerprints if marks else 0,
    )


def gpu_seconds_of(job: JobView) -> float:
    """Return the GPU seconds of a stored clip."""
    return 0.0 if job.result is None else job.result.gpu_s or gpu_seconds(job.result.seconds)


def _entry(job: JobView, signatures: Mapping[str, str]) -> Entry:
    spec, failed = job.spec, job.state is JobState.FAILED and job.error is not None
    error = (job.error or {}) if failed else {}
    key = "" if job.result is None else job.result.key
    return Entry(
        job_id=job.job_id,
        row=job.row,
        state=job.state.value,
        prompt=spec.prompt,
        seed=spec.seed,
        facts=f"{spec.width}x{spec.height}, {spec.frames} frames at {spec.fps}, {spec.sampler}, {spec.profile}",
        attempts=job.attempts,
        worker=job.worker,
        key=key,
        signature=signatures.get(key, ""),
        gpu_s=round(gpu_seconds_of(job), 3),
        code=error.get("code", ""),
        message=error.get("message", ""),
        metadata=job.metadata,
    )


@dataclass(slots=True)
class _Totals:
    """Totals over a batch's jobs, added one by one: a batch may have a million.

    Attributes:
        first, last: Unix seconds of the first start and the last stored clip's end; 0 if there is none.
        stages: Sum of seconds, and number of clips, by stage.
        signatures: Signed marks by the clip's key.
    """

    signatures: Mapping[str, str]

    stored: int = 0
    first: float = 0.0
    last: float = 0.0
    gpu_s: float = 0.0
    energy_j: float = 0.0
    metered: int = 0
    stages: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    workers: Counter[str] = field(default_factory=Counter[str])
    errors: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    entries: list[Entry] = field(default_factory=list[Entry])
    profiles: set[str] = field(default_factory=set[str])

    def add(self, job: JobView) -> None:
        self.profiles.add(job.spec.profile)
        if len(self.entries) < MOST_ENTRIES:
            self.entries.append(_entry(job, self.signatures))
        if job.started_at:
            self.first = min(self.first or job.started_at, job.started_at)
        if job.state is JobState.FAILED and job.error is not None:
            self.errors.append(job.error)
        if job.result is not None:
            self._add_clip(job, job.result)

    def _add_clip(self, job: JobView, result: Result) -> None:
        self.stored += 1
        self.last = max(self.last, job.finished_at or 0.0)
        self.gpu_s += gpu_seconds_of(job)
        if result.energy_j is not None:
            self.energy_j, self.metered = self.energy_j + result.energy_j, self.metered + 1
        for stage, seconds in result.seconds.items():
            total, count = self.stages.get(stage, (0.0, 0))
            self.stages[stage] = (total + seconds, count + 1)
        self.workers[job.worker] += 1
