"""The command `restore`: what the clip store has of a record that Redis has lost."""

from __future__ import annotations

from dataclasses import asdict

import typer

from reelmill_common.services.record_copy import Restored
from reelmill_common.services.record_copy import restore as bring_back
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def restore(*, json: Json = False) -> None:
    """Bring back from the clip store what Redis has lost: schedules, tokens, owners, and batches that had ended.

    What the farm has by now stays as it is, so it may be run again. Prints the batches that are back, and says what is
    lost: webhooks, and batches that had not ended, whose files have to be submitted again.
    """
    with reading() as farm:
        found = bring_back(farm.ledger, farm.store, farm.settings.farm, keep_s=farm.settings.prune_hours * 3600.0)
        keep_hours = farm.settings.prune_hours
    if json:
        print_json(asdict(found))
    else:
        for name in found.batches:
            typer.echo(name)
    _inform(found, keep_hours)


def _inform(found: Restored, keep_hours: int) -> None:
    inform(
        f"back are {found.schedules} schedules, {found.tokens} tokens, the shares of {found.owners} owners and "
        f"{len(found.batches)} batches; {len(found.there)} were there"
    )
    if found.old:
        inform(
            f"{len(found.old)} batches ended more than {keep_hours} hours ago and stay in the store, where `reelmill "
            "export` reads them; set REELMILL_PRUNE_HOURS here as the workers have it to keep them longer"
        )
    for batch in found.lost:
        source = f" ({batch.source})" if batch.source else ""
        inform(
            f"lost: {batch.name}, {batch.jobs:,} jobs, had not been archived; submit its file{source} again: "
            "clips that are in the store are not rendered twice"
        )
    for name, why in found.damaged.items():
        inform(f"not back: {name}: {why}")
    inform("lost: webhooks, whose secrets no copy has, and what was submitted since the last copy; add them again")
