"""A hypothesis state machine drives the ledger on a real server and a plain model of its rules side by side."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from common.ledger_audit import audit, snapshot
from common.ledger_model import LEASED, LedgerModel, ModelJob
from reelmill_common.errors import JobConflict, NotFound
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Claimed, Ledger, Result, WorkerInfo, base, dispatch
from reelmill_common.ledger.policy import PolicyChange
from reelmill_common.ledger.views import LETTERS

LANES = ("tiny", "fastwan-qad-fp8")
BATCHES = ("amber", "birch", "cedar")
WORKERS = ("gpu0@one", "gpu1@one", "gpu0@two")
MAX_ATTEMPTS = 2
FOREVER_S = 1e6

owners = st.sampled_from(("", "ann", "bo:b"))
names, lanes, workers = st.sampled_from(BATCHES), st.sampled_from(LANES), st.sampled_from(WORKERS)
indexes = st.integers(0, 10**6)
codes = st.sampled_from(("", "bad_output", "worker_lost"))
own_priorities = st.sampled_from((5, 7, 9))
priorities = st.sampled_from((5, 5, 5, 9))  # mostly equal, so that batches share


def render_job(batch: str, row: int, *, seed: int = 1) -> RenderJob:
    lane = LANES[row % 5 == 0]  # most rows in one lane, so that batches meet there
    return RenderJob(batch=batch, row=f"r{row}", spec=RenderSpec(prompt=f"row {row}", seed=seed, profile=lane))


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does one thing to both, and compares the answers; the invariants compare all that can be read."""

    redis_url: str

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.redis_url, decode_responses=True)
        self.client.flushdb()
        self.ledger = Ledger(self.client, max_attempts=MAX_ATTEMPTS)
        self.model = LedgerModel(MAX_ATTEMPTS)
        self.messages: list[tuple[str, int]] = []
        self.claims: list[tuple[str, int]] = []
        self.tokens: dict[tuple[str, int], str] = {}
        self.published: dict[str, int] = {}

    def teardown(self) -> None:
        self.ledger.close()

    @initialize()
    def start_workers(self) -> None:
        for worker, lane in zip(WORKERS, (LANES[0], LANES[0], LANES[1]), strict=True):
            self.start_worker(worker, lane)
        for owner, weight in (("ann", 2), ("bo:b", 3)):
            self.ledger.owners.set(owner, weight=weight)
            self.model.set_owner(owner, weight, 0)

    # -- producer

    @rule(
        name=names,
        rows=st.lists(st.integers(0, 9), min_size=2, max_size=8),
        priority=priorities,
        weight=st.integers(1, 3),
        cap=st.sampled_from((0, 0, 1, 3)),
        owner=owners,
        budget=st.sampled_from(("", "1", "2")),
    )
    def submit(self, name: str, rows: list[int], priority: int, weight: int, cap: int, owner: str, budget: str) -> None:
        policy = Batch(name=name, priority=priority, weight=weight, max_in_flight=cap, owner=owner, max_failures=budget)
        jobs = [render_job(name, row) for row in rows]

        done = self.ledger.batches.submit(policy, jobs)

        assert done.added == self.model.submit(policy, jobs)
        assert done.added + done.unchanged == len(jobs)

    @rule(name=names, rows=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
    def submit_other_content(self, name: str, rows: list[int]) -> None:
        jobs = [render_job(name, row, seed=2) for row in rows]
        if self.model.conflicting(jobs):
            assert self.ledger.jobs.conflicts(jobs) == [job for job in jobs if job.job_id in self.model.jobs]
            with pytest.raises(JobConflict):
                self.ledger.batches.submit(Batch(name=name), jobs)
        else:
            assert self.ledger.jobs.conflicts(jobs) == []

    @rule(
        name=names,
        verb=st.sampled_from(
            ("cancel", "cancel job", "cancel job", "pause", "resume", "resume", "retry", "prioritize", "resume held")
        ),
        index=indexes,
        to=priorities,
    )
    def change_batch(self, name: str, verb: str, index: int, to: int) -> None:
        batch = self.model.batches.get(name)
        if batch is None:
            with pytest.raises(NotFound):
                self.ledger.batches.pause(name)
        elif verb == "cancel":
            assert self.ledger.batches.cancel(name) == self.model.cancel(batch.jobs)
        elif verb == "cancel job":
            job = batch.jobs[index % len(batch.jobs)]
            state = self.ledger.jobs.cancel(job.job.job_id)
            self.model.cancel([job])
            assert state == job.state
        elif verb == "retry":
            assert self.ledger.batches.retry(name) == self.model.retry(batch.jobs)
        elif verb == "prioritize":
            self.ledger.batches.prioritize(name, to)
            self.model.prioritize(name, to)
        elif verb == "resume held":
            assert self.ledger.batches.resume_held(name) == self.model.resume_jobs(batch.jobs)
        else:
            getattr(self.ledger.batches, verb)(name)
            getattr(self.model, verb)(name)

    @precondition(lambda self: self.model.jobs)
    @rule(index=indexes, verb=st.sampled_from(("pause", "pause", "resume", "prioritize", "retry")), to=own_priorities)
    def change_job(self, index: int, verb: str, to: int) -> None:
        job_id, job = sorted(self.model.jobs.items())[index % len(self.model.jobs)]
        if verb == "retry":
            assert self.ledger.jobs.retry([job_id]) == self.model.retry([job])
            return
        state = self.ledger.jobs.prioritize(job_id, to) if verb == "prioritize" else self.hold(job_id, verb)
        if verb == "pause":
            self.model.pause_job(job)
        elif verb == "resume":
            self.model.resume_jobs([job])
        else:
            self.model.prioritize_job(job, to)
        assert state == job.state

    def hold(self, job_id: str, verb: str) -> JobState:
        return self.ledger.jobs.pause(job_id) if verb == "pause" else self.ledger.jobs.resume(job_id)

    @rule(name=names, state=st.sampled_from((JobState.FAILED, JobState.CANCELLED)), code=codes)
    def retry_some(self, name: str, state: JobState, code: str) -> None:
        if name in self.model.batches:
            queued = self.ledger.batches.retry(name, states=[state], code=code)
            assert queued == self.model.retry(self.model.batches[name].jobs, [state], code)

    @rule(name=st.one_of(names, owners), weight=st.integers(1, 3), cap=st.sampled_from((0, 0, 1, 2)))
    def change_shares(self, name: str, weight: int, cap: int) -> None:
        if name not in BATCHES:
            self.ledger.owners.set(name, weight=weight, max_in_flight=cap)
            self.model.set_owner(name, weight, cap)
        elif name in self.model.batches:
            change = PolicyChange(weight=weight, max_in_flight=cap)
            self.ledger.batches.set_policy(self.ledger.batches.get(name), change)
            self.model.set_weight_and_cap(name, weight, cap)

    # -- dispatch

    @rule(lane=lanes, depth=st.integers(1, 3))
    def pump(self, lane: str, depth: int) -> None:
        self.pump_lane(lane, depth)

    def pump_lane(self, lane: str, depth: int) -> list[tuple[str, int]]:
        chosen = [
            (item.job_id, item.generation, item.priority) for item in self.ledger.dispatch.pump(lane, depth=depth)
        ]

        assert chosen == self.model.pump(lane, depth)
        sent = [(job_id, generation) for job_id, generation, _ in chosen]
        self.messages += sent
        return sent

    @precondition(lambda self: self.ready_workers(LANES[0]))
    @rule(
        depth=st.integers(1, 3),
        outcomes=st.lists(
            st.sampled_from(("none", "finish", "finish", "fail", "fail", "expire", "release")), min_size=1, max_size=5
        ),
    )
    def work(self, depth: int, outcomes: list[str]) -> None:
        """What a lane does all night, round by round: pump, claim, and end all attempts in one way."""
        for outcome in outcomes:
            for job_id, generation in self.pump_lane(LANES[0], depth):
                self.claim_message(job_id, generation, self.ready_workers(LANES[0])[0])
                if outcome != "none":
                    self.report(*self.claims[-1], outcome)

    def ready_workers(self, lane: str) -> list[str]:
        return sorted(
            name for name, worker in self.model.workers.items() if (worker.lane, worker.state) == (lane, "ready")
        )

    @rule(vanished=st.booleans())
    def reap(self, vanished: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatch, "VANISHED_S", 0.0 if vanished else FOREVER_S)
            assert self.ledger.dispatch.reap() == self.model.reap(messages_vanished=vanished)

    # -- attempts

    @precondition(lambda self: self.messages)
    @rule(back=st.integers(0, 8), worker=workers)
    def claim(self, back: int, worker: str) -> None:
        self.claim_message(*self.messages[max(0, len(self.messages) - 1 - back)], worker)

    def claim_message(self, job_id: str, generation: int, worker: str) -> None:
        answer = self.ledger.attempts.claim(job_id, generation, worker, lease_s=FOREVER_S)

        expected = self.model.claim(job_id, generation, worker)
        if isinstance(answer, Claimed):
            assert answer.attempt == expected
            assert answer.spec == self.model.jobs[job_id].job.spec
            assert answer.attempt > max((attempt for job, attempt in self.claims if job == job_id), default=0)
            self.claims.append((job_id, answer.attempt))
            self.tokens[job_id, answer.attempt] = answer.token
        else:
            assert answer == expected

    @precondition(lambda self: self.claims)
    @rule(
        back=st.integers(0, 12),
        verb=st.sampled_from(
            ("renew", "expire", "stage", "cancelled", "cancelled", "release", "finish", "finish", "fail", "give up")
        ),
    )
    def report_of_any_attempt(self, back: int, verb: str) -> None:
        self.report(*self.claims[max(0, len(self.claims) - 1 - back)], verb)

    @precondition(lambda self: self.overtaken())
    @rule(index=indexes, verb=st.sampled_from(("renew", "cancelled", "release", "finish", "fail", "give up")))
    def report_of_an_attempt_that_was_overtaken(self, index: int, verb: str) -> None:
        job = self.overtaken()[index % len(self.overtaken())]
        self.report(job.job.job_id, job.attempts - 1, verb)

    def overtaken(self) -> list[ModelJob]:
        """Return the jobs that more than one attempt was made at, and that the last one holds or finished."""
        return [j for j in self.model.jobs.values() if j.attempts > 1 and j.state in (*LEASED, JobState.SUCCEEDED)]

    def report(self, job_id: str, attempt: int, verb: str) -> None:
        token = self.tokens[job_id, attempt]
        if verb == "renew":
            assert self.ledger.attempts.renew(job_id, token, lease_s=FOREVER_S) == self.model.renew(job_id, attempt)
        elif verb == "expire":
            assert self.ledger.attempts.renew(job_id, token, lease_s=0) == self.model.renew(
                job_id, attempt, lease_over=True
            )
        elif verb == "stage":
            orders = self.ledger.attempts.stage(job_id, token, "denoise 2/3", lease_s=FOREVER_S)
            assert orders == self.model.renew(job_id, attempt, "denoise 2/3")
        elif verb == "cancelled":
            assert self.ledger.attempts.cancelled(job_id, token) == self.model.cancelled(job_id, attempt)
        elif verb == "release":
            assert self.ledger.attempts.release(job_id, token) == self.model.release(job_id, attempt)
        elif verb == "finish":
            self.finish(job_id, attempt)
        else:
            retryable = verb == "fail"
            state = self.ledger.attempts.fail(job_id, token, "odd", "of no known class", retryable=retryable)
            assert state == self.model.fail(job_id, attempt, "odd", retryable=retryable)

    def finish(self, job_id: str, attempt: int) -> None:
        result = Result(key=f"{job_id}.mp4", sha256="00", size_bytes=1, latents_sha256="11")

        accepted = self.ledger.attempts.finish(job_id, self.tokens[job_id, attempt], result)

        assert bool(accepted) == self.model.finish(job_id, attempt)
        if accepted:
            assert self.published.setdefault(job_id, attempt) == attempt
            assert self.ledger.jobs.get(job_id).result == result

    # -- workers

    def start_worker(self, worker: str, lane: str) -> None:
        self.ledger.workers.register(worker, lane, WorkerInfo(pid=1))
        self.ledger.workers.ready(worker, WorkerInfo(pid=1))

        self.model.register(worker, lane)
        self.model.ready(worker)

    @rule(
        worker=workers,
        lane=lanes,
        verb=st.sampled_from(
            ("start", "start", "start", "ready", "quarantine", "forgive", "drain", "retire", "beat"),
        ),
    )
    def change_worker(self, worker: str, lane: str, verb: str) -> None:
        arguments = {"ready": (WorkerInfo(pid=2),), "quarantine": ("the canary is black",)}.get(verb, ())
        if verb == "start":
            self.start_worker(worker, lane)
        elif verb == "beat":
            seen = self.ledger.workers.beat(worker)
            assert (seen.state if seen else None) == getattr(self.model.workers.get(worker), "state", None)
        elif verb == "retire" or worker in self.model.workers:
            getattr(self.ledger.workers, verb)(worker, *arguments)
            getattr(self.model, verb)(worker)
        else:
            with pytest.raises(NotFound):
                getattr(self.ledger.workers, verb)(worker, *arguments)

    # -- what must hold at all times

    @rule()
    def read(self) -> None:
        for name, batch in self.model.batches.items():
            assert [
                (view.job_id, view.state, view.priority, (view.error or {}).get("code", ""))
                for view in self.ledger.jobs.page(name)
            ] == [(job.job.job_id, job.state, job.own_priority or batch.priority, job.error_code) for job in batch.jobs]
        assert {(view.name, view.lane, view.state, view.jobs) for view in self.ledger.workers.all()} == {
            (name, worker.lane, worker.state, tuple(sorted(job.job.job_id for job in self.model.held(name))))
            for name, worker in self.model.workers.items()
        }

    @invariant()
    def sets_and_counters_equal_the_states_and_the_states_equal_the_model(self) -> None:
        kept = snapshot(self.client, "main")
        audit(kept)
        found = {name.removeprefix("job:"): job for name, job in kept.items() if name.startswith("job:")}
        assert {
            job_id: (job["s"], int(job["g"]), int(job.get("a", 0)), job.get("w", ""), job.get("x", ""))
            for job_id, job in found.items()
        } == {
            job_id: (LETTERS[job.state], job.generation, job.attempts, job.worker, job.stage)
            for job_id, job in self.model.jobs.items()
        }

    @invariant()
    def only_the_last_attempt_holds_a_job_and_published_clips_stay(self) -> None:
        for job_id, job in self.model.jobs.items():
            assert job.state not in LEASED or (job_id, job.attempts) in self.claims
            assert (job.state == "succeeded") == (self.published.get(job_id) == job.attempts)


@pytest.mark.timeout(900)  # 100 runs of 40 steps: minutes on a machine that does much else
def test_the_ledger_keeps_the_rules_of_the_model(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LIVE_S", FOREVER_S)
    LedgerMachine.redis_url = redis_url.removesuffix("/0") + "/9"  # emptied before every example

    run_state_machine_as_test(
        LedgerMachine,
        settings=hypothesis_settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
