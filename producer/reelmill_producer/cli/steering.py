"""Commands that steer: cancel, pause, resume, retry, prioritize."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import JobView
from reelmill_producer.cli.boundary import tell
from reelmill_producer.cli.options import BatchName, Json, Target
from reelmill_producer.cli.output import batch_record, print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.client import CANCEL_WAIT_S, CancelReport, Reelmill

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for running clips to confirm; 0: do not wait.")]


def cancel(target: Target, *, timeout: Timeout = CANCEL_WAIT_S, json: Json = False) -> None:
    """Cancel a batch or a job. Running clips stop at their next step; `cancelled` is printed when all have.

    If some have not confirmed in time, `cancel requested` is printed and the exit status is 75.
    """
    with reading() as farm:
        report = farm.cancel(target, timeout_s=timeout)
        word = _word(farm, target, report)
    if json:
        print_json({"target": target, "state": word, "touched": report.touched, "unconfirmed": report.unconfirmed})
    else:
        typer.echo(word.replace("_", " "))
    if report.unconfirmed:
        tell(f"{report.unconfirmed:,} running clips have not stopped yet; see `reelmill status {target}`")
        if timeout:
            raise typer.Exit(LedgerUnavailable.exit_status)
    elif not report.touched:
        tell(f"nothing of {target} was left to cancel")


def pause(batch: BatchName, *, json: Json = False) -> None:
    """Pause a batch: running clips are finished."""
    with reading() as farm:
        farm.pause(batch)
        _show(farm, batch, "paused", json=json)


def resume(batch: BatchName, *, json: Json = False) -> None:
    """Go on with a paused batch."""
    with reading() as farm:
        farm.resume(batch)
        _show(farm, batch, "resumed", json=json)


def retry(batch: BatchName, *, json: Json = False) -> None:
    """Queue failed and cancelled clips again.

    Prints how many.
    """
    with reading() as farm:
        count = farm.retry(batch)
        if json:
            print_json({"retried": count, **batch_record(farm.batch(batch))})
        else:
            typer.echo(count)


def prioritize(
    batch: BatchName,
    priority: Annotated[int, typer.Argument(min=0, max=9, help="0 to 9, 9 most urgent.")],
    *,
    json: Json = False,
) -> None:
    """Change how urgent a batch is.

    Acts on the next clip that starts.
    """
    with reading() as farm:
        farm.prioritize(batch, priority)
        _show(farm, batch, f"priority {priority}", json=json)


def _show(farm: Reelmill, batch: str, word: str, *, json: bool) -> None:
    if json:
        print_json(batch_record(farm.batch(batch)))
    else:
        typer.echo(word)


def _word(farm: Reelmill, target: str, report: CancelReport) -> str:
    """Return what is so now: a clip that was stored meanwhile has succeeded, whatever was asked."""
    if report.unconfirmed:
        return JobState.CANCEL_REQUESTED.value
    found = farm.status(target)
    if isinstance(found, JobView):
        return found.state.value
    return JobState.CANCELLED.value if found.counts.get(JobState.CANCELLED, 0) else found.state.value
