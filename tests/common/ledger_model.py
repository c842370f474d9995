"""The ledger's rules in plain Python: slow, obvious, one process. The state machine compares the real one with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from reelmill_common.jobs import Batch, JobState, RenderJob
from reelmill_common.ledger import Orders, Refused, WorkerState

QUEUED, HELD, DISPATCHED, RUNNING = JobState.QUEUED, JobState.HELD, JobState.DISPATCHED, JobState.RUNNING
CANCEL_REQUESTED, CANCELLED = JobState.CANCEL_REQUESTED, JobState.CANCELLED
SUCCEEDED, FAILED = JobState.SUCCEEDED, JobState.FAILED
IN_FLIGHT = {DISPATCHED, RUNNING, CANCEL_REQUESTED}
LEASED = {RUNNING, CANCEL_REQUESTED}


@dataclass
class ModelJob:
    job: RenderJob
    state: JobState = QUEUED
    generation: int = 1
    sent_priority: int = 0
    attempts: int = 0
    failures: int = 0
    worker: str = ""
    stage: str = ""
    lease_over: bool = False
    error_code: str = ""
    own_priority: int | None = None


@dataclass
class ModelBatch:
    policy: Batch
    priority: int
    paused: bool = False
    spent: int = 0
    jobs: list[ModelJob] = field(default_factory=list)
    finish_times: dict[str, float] = field(default_factory=dict)
    own_levels: set[int] = field(default_factory=set)

    def waiting(self, lane: str, priority: int) -> list[ModelJob]:
        waiting = [job for job in self.jobs if job.state is QUEUED and job.job.lane == lane]
        own = [job for job in waiting if job.own_priority == priority]
        return own + [job for job in waiting if job.own_priority is None and self.priority == priority]

    def levels(self) -> set[int]:
        return {self.priority, *self.own_levels}

    def in_flight(self) -> int:
        return sum(job.state in IN_FLIGHT for job in self.jobs)


@dataclass
class ModelOwner:
    weight: int = 1
    cap: int = 0
    finish_times: dict[tuple[str, int], float] = field(default_factory=dict)


@dataclass
class ModelWorker:
    lane: str
    state: WorkerState = WorkerState.STARTING


class LedgerModel:
    """Holds everything, asks no clock: a lease is over when the test says so."""

    def __init__(self, max_attempts: int) -> None:
        self.max_attempts = max_attempts
        self.batches: dict[str, ModelBatch] = {}
        self.jobs: dict[str, ModelJob] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.owners: defaultdict[str, ModelOwner] = defaultdict(ModelOwner)
        self.owner_starts: dict[tuple[str, int], dict[str, float]] = {}
        self.owner_now: Counter[tuple[str, int]] = Counter()
        self.start_times: dict[tuple[str, int, str], dict[str, float]] = {}
        self.virtual_now: Counter[tuple[str, int, str]] = Counter()

    # -- producer

    def conflicting(self, jobs: Iterable[RenderJob]) -> bool:
        return any(job.job_id in self.jobs and self.jobs[job.job_id].job.spec != job.spec for job in jobs)

    def submit(self, policy: Batch, jobs: Iterable[RenderJob]) -> int:
        added = {job.job_id: job for job in jobs if job.job_id not in self.jobs}
        if added:
            batch = self.batches.setdefault(policy.name, ModelBatch(policy, policy.priority))
            batch.jobs += [ModelJob(job) for job in added.values()]
            self.jobs |= {job.job.job_id: job for job in batch.jobs}
        self.settle()
        return len(added)

    def cancel(self, jobs: Iterable[ModelJob]) -> int:
        touched = 0
        for job in jobs:
            if job.state in (QUEUED, HELD, DISPATCHED):
                self.end(job, CANCELLED)
                touched += 1
            elif job.state is RUNNING:
                job.state = CANCEL_REQUESTED
                touched += 1
        self.settle()
        return touched

    def pause(self, name: str) -> None:
        self.batches[name].paused = True
        self.take_back_sent(name)

    def resume(self, name: str) -> None:
        batch = self.batches[name]
        if batch.paused:
            batch.paused, batch.spent = False, 0
        self.settle()

    def set_owner(self, name: str, weight: int, cap: int) -> None:
        self.owners[name].weight, self.owners[name].cap = weight, cap
        self.settle()

    def set_weight_and_cap(self, name: str, weight: int, cap: int) -> None:
        batch = self.batches[name]
        changed = (batch.policy.weight, batch.policy.max_in_flight) != (weight, cap)
        batch.policy = replace(batch.policy, weight=weight, max_in_flight=cap)
        if changed:
            self.take_back_sent(name)

    def prioritize(self, name: str, priority: int) -> None:
        batch = self.batches[name]
        if batch.priority == priority:
            return
        for (_, level, _), start_times in self.start_times.items():
            if level == batch.priority:
                start_times.pop(name, None)
        batch.finish_times.clear()
        batch.priority = priority
        self.take_back_sent(name)

    def take_back_sent(self, name: str) -> None:
        for job in self.batches[name].jobs:
            if job.state is DISPATCHED:
                self.requeue(job)
        self.settle()

    def pause_job(self, job: ModelJob) -> None:
        if job.state in (QUEUED, DISPATCHED):
            job.state, job.stage = HELD, ""
            job.generation += 1
        self.settle()

    def resume_jobs(self, jobs: Iterable[ModelJob]) -> int:
        held = [job for job in jobs if job.state is HELD]
        for job in held:
            self.requeue(job)
        self.settle()
        return len(held)

    def prioritize_job(self, job: ModelJob, priority: int) -> None:
        if job.state.is_final or job.own_priority == priority:
            return
        self.batches[job.job.batch].own_levels.add(priority)
        if job.state is DISPATCHED:
            self.requeue(job)
            self.settle()
        job.own_priority = priority
        self.settle()

    def retry(self, jobs: Iterable[ModelJob], states: Iterable[JobState] = (FAILED, CANCELLED), code: str = "") -> int:
        again = [job for job in jobs if job.state in states and code in ("", job.error_code)]
        for job in again:
            job.failures = 0
            self.requeue(job)
        self.settle()
        return len(again)

    # -- dispatch

    def settle(self) -> None:
        """Let batches and owners that may run join at the virtual time of now; take out those that may not."""
        for name, batch in self.batches.items():
            cap, owner = batch.policy.max_in_flight, batch.policy.owner
            open_ = not batch.paused and (not cap or batch.in_flight() < cap)
            for lane in {job.job.lane for job in batch.jobs}:
                for priority in batch.levels():
                    key = (lane, priority, owner)
                    start_times = self.start_times.setdefault(key, {})
                    used = batch.finish_times.get(lane, 0.0) if priority == batch.priority else 0.0
                    if not (open_ and batch.waiting(lane, priority)):
                        start_times.pop(name, None)
                    elif name not in start_times:
                        start_times[name] = max(used, self.virtual_now[key])
        for (lane, priority, name), start_times in self.start_times.items():
            owner, level = self.owners[name], (lane, priority)
            owner_starts = self.owner_starts.setdefault(level, {})
            if not start_times or (owner.cap and self.in_flight_of(name) >= owner.cap):
                owner_starts.pop(name, None)
            elif name not in owner_starts:
                owner_starts[name] = max(owner.finish_times.get(level, 0.0), self.owner_now[level])

    def in_flight_of(self, owner: str) -> int:
        return sum(batch.in_flight() for batch in self.batches.values() if batch.policy.owner == owner)

    def pump(self, lane: str, depth: int) -> list[tuple[str, int, int]]:
        ready = sum(worker.lane == lane and worker.state is WorkerState.READY for worker in self.workers.values())
        chosen = []
        for priority in range(9, -1, -1):
            level = (lane, priority)
            while self.owner_starts.get(level) and self.sent(lane, priority) < depth * ready:
                owner = self.turn_of_owner(level)
                batch = self.turn_of_batch((lane, priority, owner))
                job = batch.waiting(lane, priority)[0]
                job.state, job.sent_priority = DISPATCHED, priority
                self.settle()
                chosen.append((job.job.job_id, job.generation, priority))
        return chosen

    def turn_of_owner(self, level: tuple[str, int]) -> str:
        start, name = min((start, name) for name, start in self.owner_starts[level].items())
        self.owner_now[level] = start
        owner = self.owners[name]
        owner.finish_times[level] = self.owner_starts[level][name] = start + 1 / owner.weight
        return name

    def turn_of_batch(self, key: tuple[str, int, str]) -> ModelBatch:
        start, name = min((start, name) for name, start in self.start_times[key].items())
        self.virtual_now[key] = start
        batch = self.batches[name]
        self.start_times[key][name] = start + 1 / batch.policy.weight
        if key[1] == batch.priority:
            batch.finish_times[key[0]] = self.start_times[key][name]
        return batch

    def sent(self, lane: str, priority: int) -> int:
        return sum(
            job.state is DISPATCHED and job.job.lane == lane and job.sent_priority >= priority
            for job in self.jobs.values()
        )

    def reap(self, *, messages_vanished: bool) -> int:
        count = 0
        for job in self.jobs.values():
            if job.state in LEASED and job.lease_over:
                self.attempt_failed(job, "worker_lost", retryable=True)
                count += 1
            elif job.state is DISPATCHED and messages_vanished:
                self.requeue(job)
                count += 1
        self.settle()
        return count

    # -- attempts

    def claim(self, job_id: str, generation: int, worker: str) -> int | Refused:
        job = self.jobs[job_id]
        if job.state is QUEUED and self.batches[job.job.batch].paused:
            return Refused.HELD
        if job.generation != generation:
            return Refused.STALE
        if job.state is not DISPATCHED:
            return Refused.NOT_DISPATCHED
        known = self.workers.get(worker)
        if not known or known.state is not WorkerState.READY or known.lane != job.job.lane:
            self.requeue(job)
            self.settle()
            return Refused.UNFIT
        job.state, job.worker, job.lease_over = RUNNING, worker, False
        job.attempts += 1
        return job.attempts

    def leased(self, job_id: str, token: int) -> ModelJob | None:
        job = self.jobs[job_id]
        return job if job.state in LEASED and job.attempts == token else None

    def renew(self, job_id: str, token: int, stage: str = "", *, lease_over: bool = False) -> Orders:
        job = self.leased(job_id, token)
        if job is None:
            return Orders.LOST
        job.lease_over = lease_over
        job.stage = stage or job.stage
        return Orders.CANCEL if job.state is CANCEL_REQUESTED else Orders.CONTINUE

    def finish(self, job_id: str, token: int) -> bool:
        job = self.leased(job_id, token)
        if job is None:
            return self.jobs[job_id].state is SUCCEEDED and self.jobs[job_id].attempts == token
        self.end(job, SUCCEEDED)
        return True

    def fail(self, job_id: str, token: int, code: str, *, retryable: bool) -> JobState | None:
        job = self.leased(job_id, token)
        if job is None:
            return None
        self.attempt_failed(job, code, retryable=retryable)
        self.settle()
        return job.state

    def cancelled(self, job_id: str, token: int) -> bool:
        job = self.jobs[job_id]
        if job.attempts == token and job.state is CANCEL_REQUESTED:
            self.end(job, CANCELLED)
        return job.attempts == token and job.state is CANCELLED

    def release(self, job_id: str, token: int) -> bool:
        job = self.leased(job_id, token)
        if job is None:
            return False
        self.give_back(job)
        self.settle()
        return True

    def attempt_failed(self, job: ModelJob, code: str, *, retryable: bool) -> None:
        job.error_code = code
        if job.state is CANCEL_REQUESTED:
            self.end(job, CANCELLED)
            return
        job.failures += 1
        if retryable and job.failures < self.max_attempts:
            self.requeue(job)
        else:
            self.end(job, FAILED)
            self.spend(self.batches[job.job.batch])

    def spend(self, batch: ModelBatch) -> None:
        budget = batch.policy.max_failures
        if all(job.state.is_final for job in batch.jobs):
            return
        batch.spent += 1
        if budget and not batch.paused and batch.spent >= int(budget):
            self.pause(batch.policy.name)

    def give_back(self, job: ModelJob) -> None:
        if job.state is CANCEL_REQUESTED:
            self.end(job, CANCELLED)
        else:
            self.requeue(job)

    def requeue(self, job: ModelJob) -> None:
        job.state, job.stage = QUEUED, ""
        job.generation += 1

    def end(self, job: ModelJob, state: JobState) -> None:
        job.state, job.stage = state, ""
        job.generation += state is CANCELLED
        self.settle()

    # -- workers

    def held(self, worker: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in LEASED and job.worker == worker]

    def register(self, worker: str, lane: str) -> None:
        for job in self.held(worker):
            self.attempt_failed(job, "worker_lost", retryable=True)
        known = self.workers.get(worker)
        quarantined = known is not None and known.state is WorkerState.QUARANTINED
        self.workers[worker] = ModelWorker(lane, WorkerState.QUARANTINED if quarantined else WorkerState.STARTING)
        self.settle()

    def ready(self, worker: str) -> None:
        if self.workers[worker].state is WorkerState.STARTING:
            self.workers[worker].state = WorkerState.READY

    def quarantine(self, worker: str) -> None:
        self.workers[worker].state = WorkerState.QUARANTINED

    def forgive(self, worker: str) -> None:
        if self.workers[worker].state is WorkerState.QUARANTINED:
            self.workers[worker].state = WorkerState.STARTING

    def drain(self, worker: str) -> None:
        if self.workers[worker].state is not WorkerState.QUARANTINED:
            self.workers[worker].state = WorkerState.DRAINING

    def retire(self, worker: str) -> None:
        for job in self.held(worker):
            self.give_back(job)
        known = self.workers.get(worker)
        if known and known.state is not WorkerState.QUARANTINED:
            del self.workers[worker]
        self.settle()
