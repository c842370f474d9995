"""`forgive`: let a quarantined worker try again."""

from __future__ import annotations

from reelmill_common.errors import NotFound
from reelmill_common.ledger import WorkerState
from reelmill_common.suggestions import did_you_mean
from reelmill_producer.cli.boundary import tell
from reelmill_producer.cli.options import Json, WorkerName
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def forgive(worker: WorkerName, *, json: Json = False) -> None:
    """Lift a worker's quarantine: it passes its start-up checks again and then takes jobs.

    A worker that was quarantined for failed jobs waits for this, or for REELMILL_FORGIVE_AFTER_S. One whose process has
    ended has to be started again too: `reelmill worker` on its host, which forgives its own workers.
    """
    with reading() as farm:
        ledger = farm.ledger
        view = next((found for found in ledger.workers() if found.name == worker), None)
        if view is None:
            names = ", ".join(found.name for found in ledger.workers()) or "none"
            asked = did_you_mean(worker, (found.name for found in ledger.workers()))
            raise NotFound(f"no worker {worker!r}; {asked}known are {names}")
        was = view.state is WorkerState.QUARANTINED
        ledger.forgive(worker)
    if json:
        print_json({"worker": worker, "was_quarantined": was, "reason": view.reason})
    elif was:
        tell(f"{worker} was quarantined because: {view.reason}")
    else:
        tell(f"{worker} is {view.state}, not quarantined; nothing changed")
