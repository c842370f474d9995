"""Commands about single workers: `forgive` lets a quarantined one try again, `forget` removes one that is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.ledger import WorkerState
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import Json, WorkerName
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def forgive(worker: WorkerName, *, json: Json = False) -> None:
    """Lift a worker's quarantine: it passes its start-up checks again and then takes jobs.

    A worker that was quarantined for failed jobs waits for this, or for REELMILL_FORGIVE_AFTER_S. One whose process has
    ended has to be started again too: `reelmill worker` on its host, which forgives its own workers.
    """
    with reading() as farm:
        view = farm.worker(worker)
        was = view.state is WorkerState.QUARANTINED
        farm.ledger.workers.forgive(worker)
    if json:
        print_json({"worker": worker, "was_quarantined": was, "reason": view.reason})
    elif was:
        tell(f"{worker} was quarantined because: {view.reason}")
    else:
        tell(f"{worker} is {view.state}, not quarantined; nothing changed")


def forget(
    workers: Annotated[list[str], typer.Argument(metavar="WORKER...", help="Names, as `reelmill status` lists them.")],
    *,
    json: Json = False,
) -> None:
    """Forget workers that are gone: all that the farm knows of them, a quarantine too.

    One that lives, or has clips under its leases, is not: the exit status is 75 then.
    """
    with reading() as farm:
        for worker in workers:
            farm.worker(worker)
        for worker in workers:
            farm.ledger.workers.forget(worker)
            if json:
                print_json({"worker": worker, "forgotten": True})
            else:
                typer.echo("forgotten" if len(workers) == 1 else f"{worker} forgotten")
