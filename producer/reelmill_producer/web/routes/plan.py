"""The plan: when each batch will be done."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from reelmill_common.calendar.time_text import time_at
from reelmill_common.calendar.windows import zone_of
from reelmill_common.forecast import Aims
from reelmill_producer.analysis.plans import plan_of
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.farm_schemas import PlanItem
from reelmill_producer.web.forecasts import open_spans
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["farm"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/plan", response_model=PlanItem)
def show(
    caller: SomeCaller,
    by: Annotated[str, Query(description="A time such as `07:00` or `8h`: count what will not be done by then.")] = "",
    tz: Annotated[str, Query(description="Time zone of `by`.", examples=["Europe/Vienna"])] = "",
) -> dict[str, Any]:
    """Say when each batch will be done, as `reelmill plan` does: those that the caller may see."""
    farm = caller.farm
    if by:
        end = time_at("by", by, farm.ledger.timetable.now(), zone_of(tz) if tz else None)
        made = plan_of(farm.ledger, end, depth=farm.settings.dispatch_depth, aims=Aims.of(farm.settings))
    else:
        made = caller.console.forecaster.plan(farm)
    record = made.record()
    seen = {view.name for view in caller.seen_batches()}
    spans = {one.batch: list(open_spans(one, made.now)) for one in made.batches}
    batches = [{**one, "spans": spans[one["batch"]]} for one in record["batches"] if one["batch"] in seen]
    left = sum(one.left for one in made.batches if one.batch in seen)
    return {**record, "batches": batches, "left": left}
