"""Workers: what each does, and what people decide about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fastapi import APIRouter

from reelmill_common.access import Principal
from reelmill_common.jobs import JobState
from reelmill_common.ledger import FarmSnapshot, WorkerState, WorkerView
from reelmill_common.ledger.snapshot import OpenBatch, RunningJob
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.farm_schemas import QuarantineAsked, WorkerItem, WorkerList
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["workers"], responses=PROBLEMS, route_class=ThreadedRoute)

_IDLE: Mapping[WorkerState, str] = {
    WorkerState.STARTING: "it is starting",
    WorkerState.DRAINING: "it is leaving",
    WorkerState.RESTING: "its window is closed",
    WorkerState.PAUSED: "a person paused it",
    WorkerState.QUARANTINED: "it is under quarantine",
    WorkerState.DEAD: "it does not report",
    WorkerState.GONE: "it has left",
}


@router.get("/workers", response_model=WorkerList)
def list_workers(caller: SomeCaller) -> dict[str, Any]:
    """List workers by name, with what each renders."""
    farm = _Farm.read(caller)
    return {"items": [farm.item(worker) for worker in farm.snapshot.workers]}


@router.post("/workers/{worker}/forgive", response_model=WorkerItem)
def forgive(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Lift a worker's quarantine."""
    return _steered(caller, worker, caller.farm.ledger.workers.forgive)


@router.post("/workers/{worker}/quarantine", response_model=WorkerItem)
def quarantine(caller: SomeCaller, worker: str, asked: QuarantineAsked) -> dict[str, Any]:
    """Let a worker take no more jobs, until it is forgiven."""
    return _steered(caller, worker, lambda name: caller.farm.ledger.workers.quarantine(name, asked.reason))


@router.post("/workers/{worker}/pause", response_model=WorkerItem)
def pause(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Let a worker finish what it has, and take no more until it is resumed."""
    return _steered(caller, worker, caller.farm.ledger.workers.pause)


@router.post("/workers/{worker}/resume", response_model=WorkerItem)
def resume(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Undo a pause."""
    return _steered(caller, worker, caller.farm.ledger.workers.resume)


def _steered(caller: Caller, name: str, act: Callable[[str], None]) -> dict[str, Any]:
    """Let an operator do something with a worker that is there, and return it as it is then."""
    caller.require_operator("steering workers")
    caller.farm.worker(name)
    act(name)
    return _Farm.read(caller).item(caller.farm.worker(name))


@dataclass(frozen=True, slots=True)
class _Farm:
    """What all workers are shown by, read and sorted once for all of them.

    Attributes:
        now: Unix seconds on Redis' clock.
        in_hand: The job that each worker has longest.
        owners: Owner of each batch with work left.
        waiting: Batches with jobs that wait.
    """

    principal: Principal
    snapshot: FarmSnapshot
    now: float
    in_hand: Mapping[str, RunningJob]
    owners: Mapping[str, str]
    waiting: Sequence[OpenBatch]

    @classmethod
    def read(cls, caller: Caller) -> Self:
        ledger = caller.farm.ledger
        snapshot = ledger.overview.snapshot()
        return cls(
            principal=caller.principal,
            snapshot=snapshot,
            now=ledger.timetable.now().timestamp(),
            in_hand={job.worker: job for job in reversed(snapshot.in_hand)},  # the first of each counts
            owners={batch.name: batch.owner for batch in snapshot.batches},
            waiting=[
                batch
                for batch in snapshot.batches
                if batch.counts[JobState.QUEUED] or batch.counts[JobState.DISPATCHED]
            ],
        )

    def item(self, worker: WorkerView) -> dict[str, Any]:
        job = self.in_hand.get(worker.name)
        return {
            "name": worker.name,
            "lane": worker.lane,
            "lanes": list(worker.lanes),
            "state": worker.state.value,
            "reason": worker.reason,
            "may_return": worker.may_return,
            "seen_s": round(worker.seen_s, 1),
            "jobs": len(worker.jobs),
            "job": None if job is None else self._job(job),
            "idle": "" if job is not None else self._idle(worker),
            "info": worker.info.record(),
        }

    def _job(self, job: RunningJob) -> dict[str, Any]:
        owner = self.owners.get(job.batch)
        is_seen = self.principal.owner is None or (owner is not None and self.principal.may_see(owner))
        return {
            "id": job.job_id if is_seen else None,
            "batch": job.batch if is_seen else None,
            "row": job.row if is_seen else None,
            "stage": job.stage,
            "since": self.now - job.since_s,
        }

    def _idle(self, worker: WorkerView) -> str:
        if worker.state in _IDLE:
            return _IDLE[worker.state]
        if worker.trouble:
            return worker.trouble
        if not self.waiting:
            return "no job waits"
        if all(batch.paused for batch in self.waiting):
            return "all batches with jobs that wait are paused"
        if all(batch.paused or batch.shut for batch in self.waiting):
            return "the windows of all batches with jobs that wait are closed"
        return "no job that waits is for it now; `why` of a batch says what keeps it"
