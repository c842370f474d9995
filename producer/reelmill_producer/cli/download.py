"""The command `download`: a batch's clips as files on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import NotFound
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.downloads import download as fetch
from reelmill_producer.outputs.downloads import wanted_clips, write_results

TOLD_EACH = 100
"""Clips after which progress is told."""


def download(
    batch: BatchName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files; made if it is not there.")],
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="Rows that fit, as 'fox*', or NAME=PATTERN of seed, prompt or metadata; repeatable."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Download a batch's clips and posters, verified, with their results beside them.

    What is there already and right is left alone, so the same command goes on after a break. Prints
    the folder; exits with an error's status if clips are missing.
    """
    fetched = kept = 0
    failed = []
    with reading() as farm:
        for done in fetch(farm.store, wanted_clips(farm, batch, only or ()), folder):
            if done.error is not None:
                failed.append(done)
                tell(printable(f"{done.wanted.row}: {done.error}"))
            fetched, kept = fetched + done.fetched, kept + (done.error is None and not done.fetched)
            if (fetched + kept) % TOLD_EACH == 0 or sys.stderr.isatty():
                tell(f"{fetched + kept:,} clips are there; the last is {done.path.name}")
        if not fetched + kept + len(failed):
            raise NotFound(
                f"batch {batch!r} has no clip{' that fits --only' if only else ' yet'}; nothing was downloaded"
            )
        results = write_results(farm, batch, folder)
    tell(f"{fetched:,} downloaded, {kept:,} there already, {len(failed):,} failed; results in {results.name}")
    if json:
        counts = {"fetched": fetched, "kept": kept, "failed": [item.wanted.row for item in failed]}
        print_json({"batch": batch, "folder": str(folder), **counts, "results": str(results)})
    else:
        typer.echo(folder)
    for item in failed[:1]:
        if item.error is not None:
            raise typer.Exit(item.error.exit_status)
