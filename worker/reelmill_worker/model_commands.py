"""The commands `reelmill model …`: make, download, quantise and look at models. Imports torch only inside a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make, download and prepare models.")


@app.command("tiny", epilog="Try: reelmill model tiny ~/models/tiny")
def tiny(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    seed: Annotated[int, typer.Option(help="Seed of the weights.")] = 7,
) -> None:
    """Make the tiny model: the real classes with random weights, a few MB, for machines without a GPU.

    Prints the folder.
    """
    from reelmill_worker.pipeline.tiny_model import make_tiny  # noqa: PLC0415 - torch

    make_tiny(folder, seed=seed)
    typer.echo(str(folder))
