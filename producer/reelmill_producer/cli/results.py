"""The command `results`: where a batch's finished clips are."""

from __future__ import annotations

import typer

from reelmill_common.ledger import ClipMark
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import BatchName, Favourites, Json
from reelmill_producer.cli.output import link, print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import clip_record


def results(batch: BatchName, *, favourites: Favourites = False, json: Json = False) -> None:
    """Print where a batch's finished clips are.

    One a line: paths in a local folder, else links that work now.
    """
    with reading(batch) as farm:
        clip = None
        for clip in farm.clips(batch, mark=ClipMark.FAVOURITE if favourites else None):
            if json:
                print_json(clip_record(clip))
            else:
                typer.echo(link(clip))
        if clip is not None and farm.store.links_note:
            inform(farm.store.links_note)
