"""The command `results`: where a batch's finished clips are."""

from __future__ import annotations

import typer

from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import link, print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import clip_record


def results(batch: BatchName, *, json: Json = False) -> None:
    """Print where a batch's finished clips are.

    One a line: paths in a local folder, else links that work now.
    """
    with reading() as farm:
        clip = None
        for clip in farm.clips(batch):
            if json:
                print_json(clip_record(clip))
            else:
                typer.echo(link(clip))
        if clip is not None and farm.store.links_note:
            inform(farm.store.links_note)
