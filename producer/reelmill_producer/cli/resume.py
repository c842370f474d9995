"""The command `resume`: paused batches and workers, and held jobs, go on."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import AnyTargets, Json
from reelmill_producer.cli.output import print_json, print_target
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import target_record


def resume(
    targets: AnyTargets,
    *,
    held: Annotated[bool, typer.Option("--held", help="Also resume jobs of a batch that were held singly.")] = False,
    json: Json = False,
) -> None:
    """Go on with paused batches or workers, or with held jobs."""
    with reading(*targets) as farm:
        farm.require(targets)
        views = [farm.resume(target, held=held) for target in targets]
    for target, view in zip(targets, views, strict=True):
        if json:
            print_json(target_record(view))
        else:
            print_target(targets, target, view.state.value if isinstance(view, JobView) else "resumed")
        if isinstance(view, BatchView) and (left := view.counts.get(JobState.HELD, 0)):
            inform(f"{left:,} jobs of {target} are held singly; `reelmill resume {target} --held` lets them go on too")
