"""The command `forgive`: a quarantined worker tries again."""

from __future__ import annotations

from reelmill_common.ledger import WorkerState
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, WorkerName
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def forgive(worker: WorkerName, *, json: Json = False) -> None:
    """Lift a worker's quarantine: it passes its start-up checks again and then takes jobs.

    A worker that was quarantined for failed jobs waits for this, or for REELMILL_FORGIVE_AFTER_S. One whose process has
    ended must be started again too: by `reelmill worker` on its host, which forgives its own workers.
    """
    with reading() as farm:
        view = farm.worker(worker)
        was = view.state is WorkerState.QUARANTINED
        farm.ledger.workers.forgive(worker)
    if json:
        print_json({"worker": worker, "was_quarantined": was, "reason": view.reason})
    elif was:
        inform(f"{worker} was quarantined because: {view.reason}")
    else:
        inform(f"{worker} is {view.state}, not quarantined; nothing changed")
