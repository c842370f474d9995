"""Schedules: rows that become a batch again and again."""

from __future__ import annotations

import io
import json
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import JobConflict, NotFound
from reelmill_common.schedules import Schedule, ScheduleView
from reelmill_producer.outputs.records import schedule_record
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.submission import add_schedule
from reelmill_producer.web.callers import Caller, SomeCaller
from reelmill_producer.web.farm_schemas import RunAnswer, ScheduleAsked, ScheduleItem, ScheduleList
from reelmill_producer.web.schemas import PROBLEMS, SubmitQuery
from reelmill_producer.web.submissions import opened
from reelmill_producer.web.threaded_route import ThreadedRoute
from reelmill_producer.web.uploads import Upload

router = APIRouter(tags=["schedules"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/schedules", response_model=ScheduleList)
def list_schedules(caller: SomeCaller) -> dict[str, Any]:
    """List schedules by name."""
    views = caller.farm.ledger.schedules.all()
    return {"items": [_item(view) for view in views if caller.principal.may_see(_owner(view))]}


@router.get("/schedules/{schedule}", response_model=ScheduleItem)
def show(caller: SomeCaller, schedule: str) -> dict[str, Any]:
    """Return one schedule."""
    return _item(_seen(caller, schedule))


@router.put("/schedules/{schedule}", response_model=ScheduleItem)
def put(caller: SomeCaller, schedule: str, asked: ScheduleAsked) -> dict[str, Any]:
    """Add a schedule, or replace the one of that name."""
    options = PolicyOptions(**asked.policy.model_dump(exclude_none=True))
    owner = caller.principal.owner_of_new(options.owner or None)
    known = {view.schedule.name: view for view in caller.farm.ledger.schedules.all()}
    if schedule in known and not caller.principal.may_steer(_owner(known[schedule])):
        raise JobConflict(f"schedule {schedule!r} exists already; take another name")
    options = changed(options, owner=owner)
    options.batch("any", datetime.now(UTC), mark="")
    new = Schedule(name=schedule, cron=Cron.parse(asked.cron, asked.tz), catch_up=asked.catch_up, policy={})
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for row in asked.rows)
    upload = Upload(stream=io.BytesIO(lines), name="rows", form="jsonl", policy={}, digest="")
    with opened(caller, upload, SubmitQuery(seeds=asked.seeds)) as (prompts, _report):
        return _item(add_schedule(caller.farm, new, prompts, options, replace=True))


@router.delete("/schedules/{schedule}", status_code=204)
def remove(caller: SomeCaller, schedule: str) -> Response:
    """Remove a schedule; its batches stay."""
    _steered(caller, schedule)
    caller.farm.ledger.schedules.remove(schedule)
    return Response(status_code=204)


@router.post("/schedules/{schedule}/pause", response_model=ScheduleItem)
def pause(caller: SomeCaller, schedule: str) -> dict[str, Any]:
    """Begin no more runs."""
    _steered(caller, schedule)
    caller.farm.ledger.schedules.pause(schedule)
    return _item(caller.farm.ledger.schedules.get(schedule))


@router.post("/schedules/{schedule}/resume", response_model=ScheduleItem)
def resume(caller: SomeCaller, schedule: str) -> dict[str, Any]:
    """Go on from the next run."""
    _steered(caller, schedule)
    caller.farm.ledger.schedules.resume(schedule)
    return _item(caller.farm.ledger.schedules.get(schedule))


@router.post("/schedules/{schedule}/run", response_model=RunAnswer)
def run(caller: SomeCaller, schedule: str) -> dict[str, Any]:
    """Run it now, beside its times."""
    _steered(caller, schedule)
    return {"batch": caller.farm.run_schedule(schedule)}


def _seen(caller: Caller, name: str) -> ScheduleView:
    view = caller.farm.ledger.schedules.get(name)
    if not caller.principal.may_see(_owner(view)):
        raise NotFound(f"no schedule {name!r}; GET /api/v1/schedules lists those that there are")
    return view


def _steered(caller: Caller, name: str) -> None:
    caller.require_steering(_owner(_seen(caller, name)))


def _owner(view: ScheduleView) -> str:
    return str(view.schedule.policy.get("owner", ""))


def _item(view: ScheduleView) -> dict[str, Any]:
    record = schedule_record(view)
    return {"name": record.pop("schedule"), **record, "owner": _owner(view)}
