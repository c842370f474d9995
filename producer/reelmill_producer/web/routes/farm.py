"""The farm as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter

from reelmill_common import __version__
from reelmill_common.jobs import JobState
from reelmill_common.ledger import FarmSnapshot, WorkerState
from reelmill_producer.web.callers import SomeCaller
from reelmill_producer.web.farm_schemas import FarmItem
from reelmill_producer.web.schemas import PROBLEMS
from reelmill_producer.web.threaded_route import ThreadedRoute

router = APIRouter(tags=["farm"], responses=PROBLEMS, route_class=ThreadedRoute)


@router.get("/farm", response_model=FarmItem)
def show(caller: SomeCaller) -> dict[str, Any]:
    """Return what the farm does now. Counts are those of the batches that the caller may see."""
    farm = caller.farm
    snapshot = farm.ledger.overview.snapshot()
    seen = [batch for batch in snapshot.batches if caller.principal.may_see(batch.owner)]
    settings = caller.console.settings
    return {
        "name": settings.farm,
        "version": __version__,
        "profile": farm.profile,
        "workers": dict(Counter(worker.state.value for worker in snapshot.workers)),
        "rates": {"clips_an_hour": snapshot.clips_per_h},
        "waiting": sum(batch.counts[state] for batch in seen for state in (JobState.QUEUED, JobState.DISPATCHED)),
        "running": sum(batch.counts[JobState.RUNNING] for batch in seen),
        "alerts": list(_alerts(snapshot)),
        "links": {"flower": settings.flower_url or None, "grafana": settings.grafana_url or None},
    }


def _alerts(snapshot: FarmSnapshot) -> Iterator[dict[str, str]]:
    for worker in snapshot.workers:
        if worker.state is WorkerState.QUARANTINED:
            yield {"name": "quarantined", "worker": worker.name, "text": worker.reason}
        elif worker.state is WorkerState.DEAD:
            yield {"name": "dead", "worker": worker.name, "text": f"silent for {worker.seen_s:.0f} s"}
        elif worker.trouble:
            yield {"name": "waits", "worker": worker.name, "text": worker.trouble}
    if snapshot.waiting and not snapshot.ready:
        yield {"name": "no_worker", "text": f"{snapshot.waiting:,} jobs wait and no worker is ready"}
