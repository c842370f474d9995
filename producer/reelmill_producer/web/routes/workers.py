"""Workers: what each does, and what people decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from reelmill_common.jobs import JobState
from reelmill_common.ledger import FarmSnapshot, WorkerState, WorkerView
from reelmill_common.ledger.snapshot import RunningJob
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.schemas import PROBLEMS, QuarantineAsked, WorkerItem, WorkerList

router = APIRouter(tags=["workers"], responses=PROBLEMS)

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
    snapshot = caller.farm.ledger.overview.snapshot()
    return {"items": [_item(caller, snapshot, worker) for worker in snapshot.workers]}


@router.post("/workers/{worker}/forgive", response_model=WorkerItem)
def forgive(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Lift a worker's quarantine."""
    caller.require_operator("steering workers")
    caller.farm.worker(worker)
    caller.farm.ledger.workers.forgive(worker)
    return _shown(caller, worker)


@router.post("/workers/{worker}/quarantine", response_model=WorkerItem)
def quarantine(caller: SomeCaller, worker: str, asked: QuarantineAsked) -> dict[str, Any]:
    """Let a worker take no more jobs, until it is forgiven."""
    caller.require_operator("steering workers")
    caller.farm.worker(worker)
    caller.farm.ledger.workers.quarantine(worker, asked.reason)
    return _shown(caller, worker)


@router.post("/workers/{worker}/pause", response_model=WorkerItem)
def pause(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Let a worker finish what it has, and take no more until it is resumed."""
    caller.require_operator("steering workers")
    caller.farm.worker(worker)
    caller.farm.ledger.workers.pause(worker)
    return _shown(caller, worker)


@router.post("/workers/{worker}/resume", response_model=WorkerItem)
def resume(caller: SomeCaller, worker: str) -> dict[str, Any]:
    """Undo a pause."""
    caller.require_operator("steering workers")
    caller.farm.worker(worker)
    caller.farm.ledger.workers.resume(worker)
    return _shown(caller, worker)


def _shown(caller: Caller, name: str) -> dict[str, Any]:
    snapshot = caller.farm.ledger.overview.snapshot()
    return _item(caller, snapshot, caller.farm.worker(name))


def _item(caller: Caller, snapshot: FarmSnapshot, worker: WorkerView) -> dict[str, Any]:
    job = next((one for one in snapshot.in_hand if one.worker == worker.name), None)
    return {
        "name": worker.name,
        "lane": worker.lane,
        "lanes": list(worker.lanes),
        "state": worker.state.value,
        "reason": worker.reason,
        "may_return": worker.may_return,
        "seen_s": round(worker.seen_s, 1),
        "jobs": len(worker.jobs),
        "job": None if job is None else _job(caller, snapshot, job),
        "idle": "" if job is not None else _idle(snapshot, worker),
        "info": worker.info.record(),
    }


def _job(caller: Caller, snapshot: FarmSnapshot, job: RunningJob) -> dict[str, Any]:
    owner = next((batch.owner for batch in snapshot.batches if batch.name == job.batch), None)
    is_seen = caller.principal.owner is None or (owner is not None and caller.principal.may_see(owner))
    now = caller.farm.ledger.timetable.now().timestamp()
    return {
        "id": job.job_id if is_seen else None,
        "batch": job.batch if is_seen else None,
        "row": job.row if is_seen else None,
        "stage": job.stage,
        "since": now - job.since_s,
    }


def _idle(snapshot: FarmSnapshot, worker: WorkerView) -> str:
    if worker.state in _IDLE:
        return _IDLE[worker.state]
    if worker.trouble:
        return worker.trouble
    waiting = [
        batch for batch in snapshot.batches if batch.counts[JobState.QUEUED] or batch.counts[JobState.DISPATCHED]
    ]
    if not waiting:
        return "no job waits"
    if all(batch.paused for batch in waiting):
        return "all batches with jobs that wait are paused"
    if all(batch.paused or batch.shut for batch in waiting):
        return "the windows of all batches with jobs that wait are closed"
    return "no job that waits is for it now; `why` of a batch says what keeps it"
