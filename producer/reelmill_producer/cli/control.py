"""Commands that steer: cancel, pause, resume, retry, prioritize. Each says what is so then, not what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView, WorkerState, WorkerView
from reelmill_producer.cli.errors import tell, told_if_interrupted
from reelmill_producer.cli.options import AnyTargets, ErrorCode, Json, Target, Targets
from reelmill_producer.cli.output import batch_record, job_record, print_json, worker_record
from reelmill_producer.cli.session import reading
from reelmill_producer.client import Reelmill
from reelmill_producer.control import CANCEL_WAIT_S, RETRIED, CancelReport, names_job

Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for running clips to confirm; 0: do not wait.")]
GOES_ON = (JobState.RUNNING, JobState.CANCEL_REQUESTED)


def cancel(targets: Targets, *, timeout: Timeout = CANCEL_WAIT_S, json: Json = False) -> None:
    """Cancel batches or jobs. Running clips stop at their next step; `cancelled` is printed when all have.

    If some have not confirmed in time, `cancel requested` is printed and the exit status is 75.
    """
    with reading() as farm:
        with told_if_interrupted(
            "the cancel stands: running clips stop at their next step; `reelmill status` shows it"
        ):
            reports = farm.cancel_all(targets, timeout_s=timeout)
        words = [_word(farm, target, report) for target, report in zip(targets, reports, strict=True)]
    for target, report, word in zip(targets, reports, words, strict=True):
        if json:
            print_json({"target": target, "state": word, "touched": report.touched, "unconfirmed": report.unconfirmed})
        else:
            _say(targets, target, word.replace("_", " "))
        if report.unconfirmed:
            tell(f"{report.unconfirmed:,} running clips have not stopped yet; see `reelmill status {target}`")
        elif not report.touched:
            tell(f"nothing of {target} was left to cancel")
    if timeout and any(report.unconfirmed for report in reports):
        raise typer.Exit(LedgerUnavailable.exit_status)


def pause(targets: AnyTargets, *, json: Json = False) -> None:
    """Pause batches or workers, or hold single jobs. Running clips are finished.

    A worker stays paused when it is started anew, until it is resumed. A job that runs cannot be held: `running` is
    printed, and the exit status is 75.
    """
    with reading() as farm:
        farm.require(targets)
        views = [farm.pause(target) for target in targets]
    for target, view in zip(targets, views, strict=True):
        _show(targets, target, view, "paused", json=json)
        if isinstance(view, JobView) and view.state in GOES_ON:
            tell(f"{target} is being rendered by {view.worker} and cannot be held; `reelmill cancel` stops it")
        elif isinstance(view, JobView) and view.state.is_final:
            tell(f"{target} has ended; there is nothing to hold")
        elif isinstance(view, WorkerView) and view.state is not WorkerState.PAUSED:
            tell(f"{target} is {view.state.value}; it takes no jobs once it is ready again, until it is resumed")
    if any(isinstance(view, JobView) and view.state in GOES_ON for view in views):
        raise typer.Exit(LedgerUnavailable.exit_status)


def resume(
    targets: AnyTargets,
    *,
    held: Annotated[bool, typer.Option("--held", help="Also resume jobs of a batch that were held singly.")] = False,
    json: Json = False,
) -> None:
    """Go on with paused batches or workers, or with held jobs."""
    with reading() as farm:
        farm.require(targets)
        views = [farm.resume(target, held=held) for target in targets]
    for target, view in zip(targets, views, strict=True):
        _show(targets, target, view, "resumed", json=json)
        if isinstance(view, BatchView) and (left := view.counts.get(JobState.HELD, 0)):
            tell(f"{left:,} jobs of {target} are held singly; `reelmill resume {target} --held` lets them go on too")


def retry(
    target: Target,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Only what was cancelled.")] = False,
    code: ErrorCode = "",
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only these rows or job ids, parted by commas; repeatable.")
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
    with reading() as farm:
        count = farm.retry(target, states=states, code=code, only=some)
        view = farm.status(target) if json or not count else None
    if json and view is not None:
        print_json({"retried": count, **_record(view)})
    else:
        typer.echo(count)
    if not count and view is not None:
        tell(_nothing_to_retry(view, code))


def _nothing_to_retry(view: BatchView | JobView, code: str) -> str:
    """Say what there is instead of what was asked for."""
    if isinstance(view, JobView):
        return f"{view.batch}/{view.row} is {view.state.value}; only what failed or was cancelled can be tried again"
    ended = ", ".join(f"{view.counts.get(state, 0):,} {state.value}" for state in (*RETRIED, JobState.SUCCEEDED))
    which = f" with the error {code}" if code else ""
    return f"nothing that was asked for{which} is there to try again: of {view.name} {ended}, {view.remaining:,} go on"


def prioritize(
    target: Target,
    priority: Annotated[int, typer.Argument(min=0, max=9, help="0 to 9, 9 most urgent.")],
    *,
    json: Json = False,
) -> None:
    """Change how urgent a batch is, or one job among all batches.

    Acts on the next clip that starts.
    """
    with reading() as farm:
        farm.prioritize(target, priority)
        view = farm.status(target)
    if json:
        print_json(_record(view))
    elif isinstance(view, JobView) and (view.state in GOES_ON or view.state.is_final):
        typer.echo(view.state.value)
        tell(f"{target} has started already; its priority makes no difference to it now")
    else:
        typer.echo(f"priority {view.priority}")


def _show(
    targets: Sequence[str], target: str, view: BatchView | JobView | WorkerView, word: str, *, json: bool
) -> None:
    if json:
        print_json(_record(view))
    else:
        _say(targets, target, view.state.value if isinstance(view, JobView) else word)


def _say(targets: Sequence[str], target: str, word: str) -> None:
    typer.echo(word if len(targets) == 1 else f"{target} {word}")


def _record(view: BatchView | JobView | WorkerView) -> dict[str, object]:
    if isinstance(view, WorkerView):
        return worker_record(view)
    return job_record(view) if isinstance(view, JobView) else batch_record(view)


def _word(farm: Reelmill, target: str, report: CancelReport) -> str:
    """Return what is so now: a clip that was stored meanwhile has succeeded, whatever was asked."""
    if report.unconfirmed:
        return JobState.CANCEL_REQUESTED.value
    found = farm.status(target)
    if isinstance(found, JobView):
        return found.state.value
    return JobState.CANCELLED.value if found.counts.get(JobState.CANCELLED, 0) else found.state.value
