"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from reelmill_common import errors
from reelmill_common.errors import ReelmillError
from reelmill_common.jobs import Decoder, Sampler
from reelmill_common.profiles import PROFILES
from reelmill_common.schedules import CatchUp
from reelmill_producer.cli import completion
from reelmill_producer.prompts.formats import FORMATS

_CODES = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ReelmillError)}

Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys on stdout.")]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        help=f"Model profile: {', '.join(PROFILES)}. Default: REELMILL_PROFILE.",
        autocompletion=completion.one_of(*PROFILES),
    ),
]
Priority = Annotated[
    int | None, typer.Option("--priority", min=0, max=9, help="0 to 9, 9 most urgent. Default: 5 for a new batch.")
]
Window = Annotated[
    str,
    typer.Option("--window", help="Hours in which it may run, as '22:00-07:00 Europe/Vienna'. Default: always."),
]
Owner = Annotated[
    str,
    typer.Option(
        "--owner",
        help="Who it is for. `reelmill owner` sets how owners share the farm.",
        autocompletion=completion.owners,
    ),
]
Weight = Annotated[
    int | None, typer.Option("--weight", min=1, max=100, help="Share at equal priority, 1 to 100. Default: 1.")
]
MaxInFlight = Annotated[
    int | None,
    typer.Option("--max-in-flight", min=0, max=100_000, help="Most clips sent or running at once. 0: no limit."),
]
MaxFailures = Annotated[
    str, typer.Option("--max-failures", help="Failed clips at which it pauses itself, as 10 or 5%. Default: none.")
]
StartAfter = Annotated[
    str, typer.Option("--start-after", help="Start nothing before then: 22:00, 2026-12-24T22:00, or 3h from now.")
]
Expires = Annotated[
    str, typer.Option("--expires", help="Fail what has not started by then: 07:00, 2026-12-24T07:00, or 8h from now.")
]
FinishBy = Annotated[
    str, typer.Option("--finish-by", help="Deadline for all of it: 07:00, 2026-12-24T07:00, or 8h from now.")
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        help="Wait until all clips of this batch have succeeded; repeatable.",
        autocompletion=completion.batches,
    ),
]
AfterAny = Annotated[
    list[str] | None,
    typer.Option(
        "--after-any", help="Wait until this batch has ended in any way; repeatable.", autocompletion=completion.batches
    ),
]
WorkerClass = Annotated[
    str,
    typer.Option(
        "--class",
        help="Only workers of this class may render it: h100, sm89, or a label. Default: any.",
        autocompletion=completion.classes,
    ),
]
Reuse = Annotated[
    str,
    typer.Option(
        "--reuse",
        help="Answer rows with equal clips in the store: same (of the workers' present model) or any. Default: no.",
        autocompletion=completion.one_of("same", "any"),
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="FIELD=COLUMN",
        help="Meaning of a column: prompt=caption, meta=COLUMN (keep it as metadata) or ignore=COLUMN; repeatable.",
    ),
]
Seeds = Annotated[str, typer.Option("--seeds", help="Each row with each of these seeds, as in 0..4 or 3,5,8.")]
BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="Name of a batch.", autocompletion=completion.batches)]
Target = Annotated[
    str,
    typer.Argument(
        metavar="BATCH|JOB", help="Name of a batch, or a job: BATCH/ROW or its id.", autocompletion=completion.targets
    ),
]
Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="BATCH|JOB...", help="Names of batches, or jobs: BATCH/ROW or ids.", autocompletion=completion.targets
    ),
]

SomeTarget = Annotated[
    str,
    typer.Argument(
        metavar="[BATCH|JOB]",
        help="Name of a batch, or a job: BATCH/ROW or its id.",
        autocompletion=completion.targets,
    ),
]
LogTarget = Annotated[
    str,
    typer.Argument(
        metavar="JOB|BATCH|WORKER",
        help="A job (BATCH/ROW or its id), a batch, or a worker.",
        autocompletion=completion.targets_or_workers,
    ),
]
WorkerName = Annotated[
    str, typer.Argument(help="Its name, as `reelmill status` lists it.", autocompletion=completion.workers)
]
ClipName = Annotated[
    str, typer.Argument(metavar="CLIP", help="MP4 or manifest as file, link or key of the store, or a job's id.")
]
ScheduleName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a schedule.", autocompletion=completion.schedules)
]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a token.", autocompletion=completion.tokens)]
OwnerName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name of an owner. Default: list all.", autocompletion=completion.owners),
]
OnlyOwner = Annotated[
    str | None,
    typer.Option(
        "--owner",
        help="Only this owner; '' is the owner of batches that name no owner.",
        autocompletion=completion.owners,
    ),
]
OnlyBatch = Annotated[str, typer.Option("--batch", help="Only this batch.", autocompletion=completion.batches)]
Favourites = Annotated[bool, typer.Option("--favourites", help="Only clips that were marked as favourites.")]
NewBatch = Annotated[
    str,
    typer.Option("--batch", help="Name of the batch. Default: the file's name.", autocompletion=completion.batches),
]
EndedBatches = Annotated[
    list[str],
    typer.Argument(metavar="BATCH...", help="Names of batches that have ended.", autocompletion=completion.batches),
]
FileFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help=f"{', '.join(FORMATS)}. Default: by the file's suffix.",
        autocompletion=completion.one_of(*FORMATS),
    ),
]
SamplerName = Annotated[
    str, typer.Option("--sampler", help="dmd3 or unipc3.", autocompletion=completion.one_of(*get_args(Sampler)))
]
DecoderName = Annotated[
    str, typer.Option("--decoder", help="tiny or wan.", autocompletion=completion.one_of(*get_args(Decoder)))
]
Missed = Annotated[
    str,
    typer.Option(
        "--catch-up",
        help="Runs that were missed because no worker was there: skip them, or submit the last of them once.",
        autocompletion=completion.one_of(*get_args(CatchUp)),
    ),
]
Zone = Annotated[
    str, typer.Option("--tz", help="Time zone, for example Europe/Vienna.", autocompletion=completion.zones)
]
ZoneOfBy = Annotated[
    str, typer.Option("--tz", help="Time zone of --by. Default: this machine's.", autocompletion=completion.zones)
]
WebhookId = Annotated[
    str,
    typer.Argument(
        metavar="WEBHOOK", help="Id of a webhook, as `webhook list` shows it.", autocompletion=completion.webhooks
    ),
]
SomeWebhook = Annotated[
    str, typer.Argument(metavar="[WEBHOOK]", help="Only of this webhook.", autocompletion=completion.webhooks)
]
ErrorCode = Annotated[
    str,
    typer.Option(
        "--code",
        help="Only what ended with this error code, as bad_output.",
        autocompletion=completion.one_of(*sorted(_CODES)),
    ),
]
AnyTargets = Annotated[
    list[str],
    typer.Argument(
        metavar="BATCH|JOB|WORKER...",
        help="Names of batches, jobs (BATCH/ROW or ids), or workers.",
        autocompletion=completion.targets_or_workers,
    ),
]
