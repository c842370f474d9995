"""Owners: their share of the farm and their cap; and what their clips have cost."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from reelmill_common.calendar.time_text import day_at
from reelmill_common.prices import Prices
from reelmill_producer.outputs.records import account_record, owner_record
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.farm_schemas import AccountList, OwnerAsked, OwnerItem, OwnerList
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["owners"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/owners", response_model=OwnerList)
def list_owners(caller: SomeCaller) -> dict[str, Any]:
    """List owners by name: those that the caller may see."""
    views = caller.farm.ledger.owners.all()
    return {"items": [owner_record(view) for view in views if caller.principal.may_see(view.name)]}


@router.put("/owners/{owner}", response_model=OwnerItem)
def put(caller: SomeCaller, owner: str, asked: OwnerAsked) -> dict[str, Any]:
    """Change an owner's share or cap; an owner may be entered before it submits anything."""
    caller.require_operator("changing owners")
    view = caller.farm.ledger.owners.set(owner, weight=asked.weight, max_in_flight=asked.max_in_flight)
    return owner_record(view)


@router.get("/accounts", response_model=AccountList)
def list_accounts(
    caller: SomeCaller,
    since: Annotated[str, Query(description="From this UTC day on: `7d`, or `2026-11-01`. Default: all.")] = "",
    owner: Annotated[str | None, Query(description="Only this owner.")] = None,
) -> dict[str, Any]:
    """Say what the clips of owners have cost, pruned batches included."""
    farm, prices = caller.farm, Prices.of(caller.farm.settings)
    start = day_at("since", since, farm.ledger.timetable.now()).timestamp() if since else 0.0
    found = farm.ledger.accounts.by_owner(since=start)
    items = [
        {"owner": name, **account_record(account, prices)}
        for name, account in found.items()
        if caller.principal.may_see(name) and owner in (None, name)
    ]
    return {"since": since or None, "items": items}
