"""The command `forget`: removes what the farm knows of workers that are gone."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json, print_target
from reelmill_producer.cli.session import reading


def forget(
    workers: Annotated[list[str], typer.Argument(metavar="WORKER...", help="Names, as `reelmill status` lists them.")],
    *,
    json: Json = False,
) -> None:
    """Forget workers that are gone: all that the farm knows of them, a quarantine too.

    A worker that lives, or has clips under its leases, is refused with exit status 75.
    """
    with reading() as farm:
        for worker in workers:
            farm.worker(worker)
        for worker in workers:
            farm.ledger.workers.forget(worker)
            if json:
                print_json({"worker": worker, "forgotten": True})
            else:
                print_target(workers, worker, "forgotten")
