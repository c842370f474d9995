"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.profiles import PROFILES

Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys on stdout.")]
Profile = Annotated[
    str, typer.Option("--profile", help=f"Model profile: {', '.join(PROFILES)}. Default: REELMILL_PROFILE.")
]
Priority = Annotated[
    int | None, typer.Option("--priority", min=0, max=9, help="0 to 9, 9 most urgent. Default: 5 for a new batch.")
]
BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="Name of a batch.")]
Target = Annotated[str, typer.Argument(metavar="BATCH|JOB", help="Name of a batch, or id of a job.")]
