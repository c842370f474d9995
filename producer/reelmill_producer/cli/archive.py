"""The command `archive`: what the farm knows of finished batches, written beside their clips."""

from __future__ import annotations

import typer

from reelmill_common.archive import archive as write_archive
from reelmill_common.archive import require_ended
from reelmill_producer.cli.options import EndedBatches, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading


def archive(batches: EndedBatches, *, json: Json = False) -> None:
    """Write what the farm knows of finished batches beside their clips, and print the keys.

    `reelmill export` reads it when the batch is no longer on the farm.
    """
    with reading(*batches) as farm:
        for batch in batches:
            require_ended(farm.batch(batch))
        for batch in batches:
            key = write_archive(farm.ledger, farm.store, batch)
            if json:
                print_json({"batch": batch, "key": key, "url": farm.store.url(key)})
            else:
                typer.echo(key)
