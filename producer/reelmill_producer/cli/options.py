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
Window = Annotated[
    str,
    typer.Option("--window", help="Hours in which it may run, as '22:00-07:00 Europe/Vienna'. Default: always."),
]
Owner = Annotated[str, typer.Option("--owner", help="Who it is for. Owners share the farm by `reelmill owner`.")]
Weight = Annotated[
    int | None, typer.Option("--weight", min=1, max=100, help="Share at equal priority, 1 to 100. Default: 1.")
]
MaxInFlight = Annotated[
    int | None,
    typer.Option("--max-in-flight", min=0, max=100_000, help="Most clips sent or running at once. 0: no limit."),
]
MaxFailures = Annotated[
    str, typer.Option("--max-failures", help="Failed clips, as 10 or 5%, at which it pauses itself. Default: none.")
]
StartAfter = Annotated[
    str, typer.Option("--start-after", help="Start nothing before: 22:00, 2026-12-24T22:00, or 3h from now.")
]
Expires = Annotated[
    str, typer.Option("--expires", help="Fail what has not started by: 07:00, 2026-12-24T07:00, or 8h from now.")
]
After = Annotated[
    list[str] | None, typer.Option("--after", help="Wait until all clips of this batch have succeeded; repeatable.")
]
AfterAny = Annotated[
    list[str] | None, typer.Option("--after-any", help="Wait until this batch has ended in any way; repeatable.")
]
WorkerClass = Annotated[
    str, typer.Option("--class", help="Only workers of this class may render it: h100, sm89, or a label. Default: any.")
]
Reuse = Annotated[
    str,
    typer.Option(
        "--reuse",
        help="Answer from equal clips in the store: same (of the workers' present model) or any. Default: no.",
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="FIELD=COLUMN",
        help="What a column is: prompt=caption, meta=COLUMN (keep it as metadata) or ignore=COLUMN; repeatable.",
    ),
]
Seeds = Annotated[str, typer.Option("--seeds", help="Each row with each of these seeds, as in 0..4 or 3,5,8.")]
BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="Name of a batch.")]
Target = Annotated[str, typer.Argument(metavar="BATCH|JOB", help="Name of a batch, or a job: BATCH/ROW or its id.")]
Targets = Annotated[
    list[str], typer.Argument(metavar="BATCH|JOB...", help="Names of batches, or jobs: BATCH/ROW or ids.")
]
