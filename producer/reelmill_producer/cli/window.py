"""The command `window`: the hours in which a batch may run."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_producer.cli.options import BatchName, Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import batch_record
from reelmill_producer.prompts.policy_options import NONE


def window(
    batch: BatchName,
    spec: Annotated[str, typer.Argument(metavar="SPEC|none", help="For example '22:00-07:00 Europe/Vienna'.")],
    *,
    json: Json = False,
) -> None:
    """Let a batch run only in some hours, or at any time.

    Clips that run are finished; no clip starts that would not be done when the window closes.
    """
    with reading(batch) as farm:
        farm.set_window(batch, "" if spec == NONE else spec)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        typer.echo(view.window or NONE)
