"""Commands that keep and forget: archive, prune."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from reelmill_common.archive import archive as write_archive
from reelmill_common.archive import due, require_ended
from reelmill_common.archive import prune as forget
from reelmill_common.errors import InvalidJob
from reelmill_common.ledger.retention import Pruned
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import EndedBatches, Json, OnlyBatch
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FATES = {
    Pruned.GOES_ON: "goes on, and was kept",
    Pruned.AWAITED: "was kept, since other batches wait for it",
}


def archive(
    batches: EndedBatches,
    *,
    json: Json = False,
) -> None:
    """Write what the farm knows of finished batches beside their clips, and print the keys.

    `reelmill export` reads it when the batch is no longer on the farm.
    """
    with reading() as farm:
        for batch in batches:
            require_ended(farm.batch(batch))
        for batch in batches:
            key = write_archive(farm.ledger, farm.store, batch)
            if json:
                print_json({"batch": batch, "key": key, "url": farm.store.url(key)})
            else:
                typer.echo(key)


def prune(
    *,
    older: Annotated[str, typer.Option("--older", help="Only what ended so long ago: 30d, 12h.")] = "30d",
    batch: OnlyBatch = "",
    archived: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Write each batch's archive before; without, it is lost.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which batches are old enough.")] = False,
    json: Json = False,
) -> None:
    """Forget batches that ended long ago, and workers that were silent as long; clips stay in the store.

    Prints the batches. Each is archived first.
    """
    older_s = _seconds(older)
    with reading() as farm:
        views = due(farm.ledger, older_s, batch=batch)
        if dry_run:
            for view in views:
                _show(view.name, "due", "", json=json)
            return
        for done in forget(farm.ledger, farm.store if archived else None, views):
            _show(done.batch, done.fate, done.archive, json=json)
        if batch and not views:
            tell(f"{batch} has not ended, or not {older} ago")
        workers = [] if batch else farm.ledger.retention.prune_workers(older_s)
    for worker in workers:
        tell(f"worker {worker} is forgotten too")


def _show(batch: str, fate: str, key: str, *, json: bool) -> None:
    if json:
        print_json({"batch": batch, "fate": str(fate), "archive": key})
    elif fate in _FATES:
        tell(f"{batch} {_FATES[Pruned(fate)]}")
    else:
        typer.echo(batch)


def _seconds(text: str) -> float:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidJob(f"--older {text[:40]!r} is no span of time; use a number with s, m, h or d, such as 30d")
    return int(found[1]) * _UNIT_S[found[2]]
