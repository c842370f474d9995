"""The command `prune`: the farm forgets batches and workers of long ago; clips stay in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.archive import due
from reelmill_common.archive import prune as forget
from reelmill_common.calendar.time_text import span_s
from reelmill_common.ledger.retention import Pruned
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, OnlyBatch
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading

_KEPT = {
    Pruned.GOES_ON: "goes on, and was kept",
    Pruned.AWAITED: "was kept, since other batches wait for it",
}


def prune(
    *,
    older: Annotated[str, typer.Option("--older", help="Only what ended at least this long ago: 30d, 12h.")] = "30d",
    batch: OnlyBatch = "",
    archived: Annotated[
        bool,
        typer.Option(
            "--archive/--no-archive", help="Write each batch's archive first; without it, what is known is lost."
        ),
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the batches that are old enough.")] = False,
    json: Json = False,
) -> None:
    """Forget batches that ended long ago, and workers that were silent for as long; clips stay in the store.

    Prints the batches. Each is archived first.
    """
    older_s = span_s("--older", older)
    with reading() as farm:
        views = due(farm.ledger, older_s, batch=batch)
        if dry_run:
            for view in views:
                _show(view.name, "due", "", json=json)
            return
        for done in forget(farm.ledger, farm.store if archived else None, views):
            _show(done.batch, done.fate, done.archive, json=json)
        if batch and not views:
            inform(f"{batch} has not ended, or ended less than {older} ago")
        workers = [] if batch else farm.ledger.retention.prune_workers(older_s)
    for worker in workers:
        inform(f"worker {worker} is forgotten too")


def _show(batch: str, fate: str, key: str, *, json: bool) -> None:
    if json:
        print_json({"batch": batch, "fate": str(fate), "archive": key})
    elif fate in _KEPT:
        inform(f"{batch} {_KEPT[Pruned(fate)]}")
    else:
        typer.echo(batch)
