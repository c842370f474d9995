"""The command `prioritize`: how urgent a batch or a job is."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.ledger import JobView
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, Target
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import IN_HAND, target_record


def prioritize(
    target: Target,
    priority: Annotated[int, typer.Argument(min=0, max=9, help="0 to 9, 9 most urgent.")],
    *,
    json: Json = False,
) -> None:
    """Change how urgent a batch is, or one job among all batches.

    Acts on the next clip that starts.
    """
    with reading(target) as farm:
        farm.prioritize(target, priority)
        view = farm.status(target)
    if json:
        print_json(target_record(view))
    elif isinstance(view, JobView) and (view.state in IN_HAND or view.state.is_final):
        typer.echo(view.state.value)
        inform(f"{target} has started already; its priority makes no difference to it now")
    else:
        typer.echo(f"priority {view.priority}")
