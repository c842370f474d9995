"""The commands `schedule …`: a file of prompts is submitted again and again, by a cron expression."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, get_args

import typer

from reelmill_common.calendar.cron import Cron
from reelmill_common.errors import InvalidJob
from reelmill_common.schedules import (
    CatchUp,
    Schedule,
    ScheduleView,
)
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import (
    Column,
    FileFormat,
    FinishBy,
    Json,
    MaxFailures,
    MaxInFlight,
    Missed,
    Owner,
    Priority,
    Profile,
    ScheduleName,
    Seeds,
    Weight,
    Window,
    WorkerClass,
    Zone,
)
from reelmill_producer.cli.output import print_json, table, time_text
from reelmill_producer.cli.session import read_settings, reading, session
from reelmill_producer.cli.submit import checked, opened_prompts, warn_if_idle
from reelmill_producer.outputs.records import batch_record, schedule_record
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.submission import add_schedule

schedule = typer.Typer(no_args_is_help=True, help="Submit a file of prompts again and again, at times of your choice.")


@schedule.command("add", epilog="Try: reelmill schedule add '0 22 * * *' prompts.csv --tz Europe/Vienna")
def add(  # noqa: PLR0913 - one parameter an option
    cron: Annotated[str, typer.Argument(metavar="CRON", help="minute hour day month weekday, as in '0 22 * * *'.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Prompts, as for submit; - reads stdin.")],
    *,
    tz: Zone,
    name: Annotated[str, typer.Option(help="Name of the schedule. Default: the file's name.")] = "",
    catch_up: Missed = "skip",
    priority: Priority = None,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    max_failures: MaxFailures = "",
    finish_by: FinishBy = "",
    owner: Owner = "",
    window: Window = "",
    worker_class: WorkerClass = "",
    profile: Profile = "",
    form: FileFormat = "",
    column: Column = None,
    seeds: Seeds = "",
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Keep the good rows of a bad file.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the schedule of that name, if there is one.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a schedule.

    The file is read and checked now, and its rows and policy are kept in the ledger: at each run they become a batch.
    Prints the schedule's name.
    """
    settings = read_settings(profile)
    cron_read = Cron.parse(cron, tz)
    asked = PolicyOptions(
        priority=priority,
        weight=weight,
        max_in_flight=max_in_flight,
        max_failures=max_failures,
        finish_by=finish_by,
        owner=owner,
        window=window,
        worker_class=worker_class,
    )
    asked.batch("any", datetime.now(cron_read.zone))
    with opened_prompts(file, form, settings, column=column, seeds=seeds) as prompts:
        new = Schedule(name=name or prompts.batch_name, cron=cron_read, catch_up=_catch_up(catch_up), policy={})
        checked(prompts, skip_invalid=skip_invalid)
        with session(settings) as opened:
            view = add_schedule(opened.farm, new, prompts, asked, replace=replace)
            _show(view, new.name, json=json)
            inform(f"{view.jobs:,} jobs at each run; the first is {time_text(view.next_at, tz)}")
            warn_if_idle(opened)


@schedule.command("list", epilog="Try: reelmill schedule list")
def list_schedules(*, json: Json = False) -> None:
    """List all schedules."""
    with reading() as farm:
        views = farm.ledger.schedules.all()
    if json:
        print_json({"schedules": [schedule_record(view) for view in views]})
        return
    rows = [
        (
            view.schedule.name,
            view.schedule.cron.expression,
            "paused" if view.paused else time_text(view.next_at, view.schedule.cron.zone.key),
            f"{view.jobs:,}",
            view.error or view.last_batch or "never ran",
        )
        for view in views
    ]
    typer.echo(table(("SCHEDULE", "CRON", "NEXT", "JOBS", "LAST"), rows) if rows else "no schedules")


@schedule.command("show", epilog="Try: reelmill schedule show nightly")
def show(name: ScheduleName, *, json: Json = False) -> None:
    """Show a schedule and its next run."""
    with reading() as farm:
        view = farm.ledger.schedules.get(name)
    _show(view, _described(view), json=json)


@schedule.command("remove", epilog="Try: reelmill schedule remove nightly")
def remove(name: ScheduleName) -> None:
    """Remove a schedule; batches that it has submitted stay."""
    with reading() as farm:
        farm.ledger.schedules.remove(name)
    typer.echo("removed")


@schedule.command("pause", epilog="Try: reelmill schedule pause nightly")
def pause(name: ScheduleName, *, json: Json = False) -> None:
    """Pause a schedule: it begins no more runs."""
    with reading() as farm:
        farm.ledger.schedules.pause(name)
        _show(farm.ledger.schedules.get(name), "paused", json=json)


@schedule.command("resume", epilog="Try: reelmill schedule resume nightly")
def resume(name: ScheduleName, *, json: Json = False) -> None:
    """Go on with a schedule from its next run; runs that the pause held back are left out."""
    with reading() as farm:
        farm.ledger.schedules.resume(name)
        _show(farm.ledger.schedules.get(name), "resumed", json=json)


@schedule.command("run", epilog="Try: reelmill schedule run nightly")
def run(name: ScheduleName, *, json: Json = False) -> None:
    """Run a schedule now, in addition to its times; print the batch."""
    with reading() as farm:
        batch = farm.run_schedule(name)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        typer.echo(batch)


def _catch_up(text: str) -> CatchUp:
    for rule in get_args(CatchUp):
        if text == rule:
            found: CatchUp = rule
            return found
    raise InvalidJob(f"--catch-up {text!r} is unknown; known are {', '.join(get_args(CatchUp))}")


def _show(view: ScheduleView, plain: str, *, json: bool) -> None:
    if json:
        print_json(schedule_record(view))
    else:
        typer.echo(plain)


def _described(view: ScheduleView) -> str:
    zone = view.schedule.cron.zone.key
    lines = [
        f"schedule {view.schedule.name}: {view.schedule.cron.expression} {zone}, {view.jobs:,} jobs",
        "  paused" if view.paused else f"  next run {time_text(view.next_at, zone)}",
        f"  missed runs: {view.schedule.catch_up}",
        *(f"  {name}: {value}" for name, value in view.schedule.policy.items()),
    ]
    if view.last_batch:
        lines.append(f"  last run {time_text(view.last_at, zone)}: {view.last_batch}")
    if view.error:
        lines.append(f"  last run failed: {view.error}")
    return "\n".join(lines)
