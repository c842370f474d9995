"""Control: what people do with whole batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView
from reelmill_producer.control import RETRIED
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.items import batch_item
from reelmill_producer.web.schemas import PROBLEMS, BatchItem, Changed, PolicyAsked, ResumeAsked, RetryAsked
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["batches"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.post("/batches/{batch}/pause", response_model=BatchItem)
def pause(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Start nothing more of a batch; running clips are finished."""
    caller.steered_batch(batch)
    caller.farm.pause(batch)
    return _item(caller, caller.farm.batch(batch))


@router.post("/batches/{batch}/resume", response_model=BatchItem)
def resume(caller: SomeCaller, batch: str, asked: ResumeAsked | None = None) -> dict[str, Any]:
    """Undo a pause."""
    caller.steered_batch(batch)
    caller.farm.resume(batch, held=asked is not None and asked.held)
    return _item(caller, caller.farm.batch(batch))


@router.post("/batches/{batch}/cancel", response_model=Changed)
def cancel(caller: SomeCaller, batch: str) -> dict[str, Any]:
    """Cancel what has not ended. What runs stops at its next report: `unconfirmed` says how much that is."""
    caller.steered_batch(batch)
    report = caller.farm.cancel(batch, timeout_s=0)
    return {"count": report.touched, "unconfirmed": report.unconfirmed}


@router.post("/batches/{batch}/retry", response_model=Changed)
def retry(caller: SomeCaller, batch: str, asked: RetryAsked | None = None) -> dict[str, Any]:
    """Queue jobs again that failed or were cancelled."""
    caller.steered_batch(batch)
    asked = asked or RetryAsked()
    states = [JobState(state) for state in asked.states] or RETRIED
    return {"count": caller.farm.retry(batch, states=states, code=asked.code, only=asked.rows)}


@router.patch("/batches/{batch}", response_model=BatchItem)
def change(caller: SomeCaller, batch: str, asked: PolicyAsked) -> dict[str, Any]:
    """Change some of a batch's policy, from the next clip that starts."""
    caller.steered_batch(batch)
    given = asked.model_dump(exclude_none=True)
    window = given.pop("window", None)
    wanted = PolicyOptions(**given).change(datetime.now(UTC), mark="")
    if given:
        caller.farm.set_policy(batch, wanted)
    if window is not None:
        caller.farm.set_window(batch, window)
    return _item(caller, caller.farm.batch(batch))


def _item(caller: Caller, view: BatchView) -> dict[str, Any]:
    return batch_item(view, caller.console.forecaster.finish_of(caller.farm, view.name) if view.remaining else None)
