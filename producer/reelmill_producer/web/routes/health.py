"""Health: whether the process answers, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from reelmill_producer.web.console import Console
from reelmill_producer.web.farm_schemas import Health
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["health"], route_class=ThreadedRoute)
_OK = Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/healthz", response_model=Health)
async def live() -> Response:
    """Say that the process answers; asks nothing."""
    return _OK


@router.get("/readyz", response_model=Health, responses={503: PROBLEMS[503]})
def ready(request: Request) -> Response:
    """Say that Redis answers and has our functions."""
    console: Console = request.app.state.console
    console.connection.farm().ledger.workers.all()
    return _OK
