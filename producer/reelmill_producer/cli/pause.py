"""The command `pause`: a batch or a worker starts no more clips, or a single job is held."""

from __future__ import annotations

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.ledger import JobView, WorkerState, WorkerView
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import AnyTargets, Json
from reelmill_producer.cli.output import print_json, print_target
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import IN_HAND, target_record


def pause(targets: AnyTargets, *, json: Json = False) -> None:
    """Pause batches or workers, or hold single jobs. Running clips are finished.

    A worker stays paused when it is started again, until it is resumed. A job that runs cannot be held: `running` is
    printed, and the exit status is 75.
    """
    with reading(*targets) as farm:
        farm.require(targets)
        views = [farm.pause(target) for target in targets]
    for target, view in zip(targets, views, strict=True):
        if json:
            print_json(target_record(view))
        else:
            print_target(targets, target, view.state.value if isinstance(view, JobView) else "paused")
        if isinstance(view, JobView) and view.state in IN_HAND:
            inform(f"{target} is being rendered by {view.worker} and cannot be held; `reelmill cancel` stops it")
        elif isinstance(view, JobView) and view.state.is_final:
            inform(f"{target} has ended; there is nothing to hold")
        elif isinstance(view, WorkerView) and view.state is not WorkerState.PAUSED:
            inform(f"{target} is {view.state.value}; it takes no jobs once it is ready again, until it is resumed")
    if any(isinstance(view, JobView) and view.state in IN_HAND for view in views):
        raise typer.Exit(LedgerUnavailable.exit_status)
