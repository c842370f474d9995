"""The command `download`: a batch's clips as files on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.errors import NotFound
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import BatchName, Favourites, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.downloads import download as fetch
from reelmill_producer.outputs.downloads import wanted_clips, write_results

REPORT_EACH = 100
"""Clips between two lines of progress."""


def download(
    batch: BatchName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the files; it is made if it does not exist.")
    ],
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="Only rows that match, as 'fox*', or NAME=PATTERN for seed, prompt or metadata; repeatable."
        ),
    ] = None,
    favourites: Favourites = False,
    json: Json = False,
) -> None:
    """Download a batch's clips and posters, verified, with their results beside them.

    Files that are there and correct are left alone, so the same command continues after a break. Prints the folder;
    exits with the error's status if clips are missing.
    """
    fetched = kept = 0
    failed = []
    with reading(batch) as farm:
        for done in fetch(farm.store, wanted_clips(farm, batch, only or (), favourites=favourites), folder):
            if done.error is not None:
                failed.append(done)
                inform(printable(f"{done.wanted.row}: {done.error}"))
            fetched, kept = fetched + done.fetched, kept + (done.error is None and not done.fetched)
            if (fetched + kept) % REPORT_EACH == 0 or sys.stderr.isatty():
                inform(f"{fetched + kept:,} clips are there; the last is {done.path.name}")
        if not fetched + kept + len(failed):
            raise NotFound(f"batch {batch!r} has no clip{_missed(only, favourites=favourites)}; nothing was downloaded")
        results = write_results(farm, batch, folder)
    inform(f"{fetched:,} downloaded, {kept:,} there already, {len(failed):,} failed; results in {results.name}")
    if json:
        counts = {"fetched": fetched, "kept": kept, "failed": [item.wanted.row for item in failed]}
        print_json({"batch": batch, "folder": str(folder), **counts, "results": str(results)})
    else:
        typer.echo(folder)
    for item in failed[:1]:
        if item.error is not None:
            raise typer.Exit(item.error.exit_status)


def _missed(only: list[str] | None, *, favourites: bool) -> str:
    options = [name for name, given in (("--only", only), ("--favourites", favourites)) if given]
    return f" that matches {' and '.join(options)}" if options else " yet"
