"""The command `retry`: clips that failed or were cancelled are queued again."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import ErrorCode, Json, Target
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.control import RETRIED, names_job
from reelmill_producer.outputs.records import target_record


def retry(
    target: Target,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Only what was cancelled.")] = False,
    code: ErrorCode = "",
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only these rows or job ids, with commas between; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Queue clips again: all of a batch that failed or were cancelled, or some, or one job.

    Prints how many.
    """
    some = [name for names in only or () for name in names.split(",") if name]
    if (some or names_job(target)) and (failed or cancelled or code):
        raise typer.BadParameter("--failed, --cancelled and --code choose among a batch's jobs; leave them out here")
    if some and names_job(target):
        raise typer.BadParameter("--only chooses among a batch's jobs; give its name instead of a job")
    states = [state for state, asked in zip(RETRIED, (failed, cancelled), strict=True) if asked] or RETRIED
    with reading(target) as farm:
        count = farm.retry(target, states=states, code=code, only=some)
        view = farm.status(target) if json or not count else None
    if json and view is not None:
        print_json({"retried": count, **target_record(view)})
    else:
        typer.echo(count)
    if not count and view is not None:
        inform(_nothing_to_retry(view, code))


def _nothing_to_retry(view: BatchView | JobView, code: str) -> str:
    """Return what there is instead of what was asked for."""
    if isinstance(view, JobView):
        return f"{view.batch}/{view.row} is {view.state.value}; only what failed or was cancelled can be tried again"
    ended = ", ".join(f"{view.counts.get(state, 0):,} {state.value}" for state in (*RETRIED, JobState.SUCCEEDED))
    asked = f" with the error {code}" if code else ""
    return f"{view.name} has no such clip{asked} to try again: {ended}, {view.remaining:,} still open"
