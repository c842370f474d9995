"""The command `cancel`: batches or jobs end without their clips. It prints the state afterwards, not the request."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import JobView
from reelmill_producer.cli.console import inform, informed_on_interrupt
from reelmill_producer.cli.options import Json, Targets
from reelmill_producer.cli.output import print_json, print_target
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill
from reelmill_producer.control import CANCEL_WAIT_S, CancelReport

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for running clips to confirm; 0: do not wait.")]


def cancel(targets: Targets, *, timeout: Timeout = CANCEL_WAIT_S, json: Json = False) -> None:
    """Cancel batches or jobs. Running clips stop at their next step; `cancelled` is printed when all have.

    If some have not confirmed in time, `cancel requested` is printed and the exit status is 75.
    """
    with reading(*targets) as farm:
        with informed_on_interrupt(
            "the cancel stands: running clips stop at their next step; `reelmill status` shows it"
        ):
            reports = farm.cancel_all(targets, timeout_s=timeout)
        states = [_state(farm, target, report) for target, report in zip(targets, reports, strict=True)]
    for target, report, state in zip(targets, reports, states, strict=True):
        if json:
            print_json({"target": target, "state": state, "touched": report.touched, "unconfirmed": report.unconfirmed})
        else:
            print_target(targets, target, state.replace("_", " "))
        if report.unconfirmed:
            inform(f"{report.unconfirmed:,} running clips have not stopped yet; see `reelmill status {target}`")
        elif not report.touched:
            inform(f"{target} had nothing left to cancel")
    if timeout and any(report.unconfirmed for report in reports):
        raise typer.Exit(LedgerUnavailable.exit_status)


def _state(farm: Reelmill, target: str, report: CancelReport) -> str:
    """Return what is so now: a clip that was stored meanwhile has succeeded, whatever was asked."""
    if report.unconfirmed:
        return JobState.CANCEL_REQUESTED.value
    found = farm.status(target)
    if isinstance(found, JobView):
        return found.state.value
    return JobState.CANCELLED.value if found.counts.get(JobState.CANCELLED, 0) else found.state.value
