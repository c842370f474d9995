"""Commands of the night: windows of batches, schedules, and the plan of what will be done by when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, get_args

import typer

from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.windows import Windows, zone_of
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.schedules import (
    TIME_FIELDS,
    CatchUp,
    Schedule,
    ScheduledRow,
    ScheduleView,
    policy_of,
    relative_time,
)
from reelmill_producer.analysis.plans import FarmForecast, Forecast, LanePace, plan_of
from reelmill_producer.cli.errors import tell
from reelmill_producer.cli.options import (
    BatchName,
    Column,
    FileFormat,
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
    ZoneOfBy,
)
from reelmill_producer.cli.output import batch_record, print_json, table
from reelmill_producer.cli.session import read_settings, reading, session
from reelmill_producer.cli.submit import checked, opened_prompts, warn_if_idle
from reelmill_producer.prompts.files import PromptFile
from reelmill_producer.prompts.policy_options import NONE, PolicyOptions

_KEYS = ("start-after", "expires")
"""As a head names `TIME_FIELDS`."""

schedule = typer.Typer(no_args_is_help=True, help="Submit a file of prompts again and again, at a time of its own.")


def window(
    batch: BatchName,
    spec: Annotated[str, typer.Argument(metavar="SPEC|none", help="For example '22:00-07:00 Europe/Vienna'.")],
    *,
    json: Json = False,
) -> None:
    """Let a batch run only in some hours, or at any time.

    Clips that run are finished; none starts that would not be done when the window shuts.
    """
    with reading() as farm:
        farm.set_window(batch, "" if spec == NONE else spec)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        typer.echo(view.window or NONE)


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
        owner=owner,
        window=window,
        worker_class=worker_class,
    )
    asked.batch("any", datetime.now(cron_read.zone))
    with opened_prompts(file, form, settings, column=column, seeds=seeds) as prompts:
        new = Schedule(name=name or prompts.batch_name, cron=cron_read, catch_up=_catch_up(catch_up), policy={})
        checked(prompts, skip_invalid=skip_invalid)
        new = replaced(new, policy=_policy(prompts, asked, new))
        with session(settings) as opened:
            view = opened.farm.ledger.schedules.add(new, _rows(prompts), replace=replace)
            _show(view, new.name, json=json)
            tell(f"{view.jobs:,} jobs at each run; the first is {_time(view.next_at, tz)}")
            warn_if_idle(opened)


def _rows(prompts: PromptFile) -> Iterator[ScheduledRow]:
    return ((job.row, job.spec, job.metadata) for job in prompts.jobs("any"))


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
            "paused" if view.paused else _time(view.next_at, view.schedule.cron.zone.key),
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
    """Go on with a schedule from its next run: what its pause held back is left out."""
    with reading() as farm:
        farm.ledger.schedules.resume(name)
        _show(farm.ledger.schedules.get(name), "resumed", json=json)


@schedule.command("run", epilog="Try: reelmill schedule run nightly")
def run(name: ScheduleName, *, json: Json = False) -> None:
    """Run a schedule now, beside its times; prints the batch."""
    with reading() as farm:
        batch = farm.run_schedule(name)
        view = farm.batch(batch)
    if json:
        print_json(batch_record(view))
    else:
        typer.echo(batch)


def _policy(prompts: PromptFile, asked: PolicyOptions, new: Schedule) -> Mapping[str, Any]:
    """Return the policy of a schedule's batches: the options', and what the file's head says beside them.

    Raises:
        InvalidPromptFile: A batch of a run could not have it.
    """
    now = datetime.now(new.cron.zone)
    words = asked.over(prompts.head.options) if prompts.head else asked
    try:
        policy = policy_of(replaced(words, start_after="", expires="").batch("any", now))
        for field, key, text in zip(TIME_FIELDS, _KEYS, (words.start_after, words.expires), strict=True):
            if text not in ("", NONE):
                policy[field] = relative_time(key, text, new.cron.zone.key)
        replaced(new, policy=policy).batch(new.cron.next_after(now.astimezone(UTC)))
    except InvalidJob as err:
        line = prompts.head.line if prompts.head else 1
        raise InvalidPromptFile(f"{prompts.name}: line {line}: batch: {err}; nothing was scheduled") from err
    return policy


def plan(
    *,
    by: Annotated[str, typer.Option(help="A time, as 07:00 (the next one) or 2026-12-24T07:00.")] = "",
    tz: ZoneOfBy = "",
    json: Json = False,
) -> None:
    """Say when each batch will be done, and what will not be done by a time.

    By the seconds that finished clips took, the workers that are there now, windows, priorities, shares and caps.
    """
    zone = zone_of(tz) if tz else None
    with reading() as farm:
        moment = deadline(by, farm.ledger.timetable.now(), zone) if by else None
        made = plan_of(farm.ledger, moment, depth=farm.settings.dispatch_depth)
    if json:
        print_json(plan_record(made))
        return
    rows = [
        (row.batch, str(row.priority), f"{row.remaining:,}", _finish(row, zone), f"{row.left:,}")
        for row in made.batches
    ]
    head = ("BATCH", "PRIORITY", "REMAINING", "DONE AT", "LEFT")
    width = len(head) if moment is not None else len(head) - 1
    typer.echo(table(head[:width], [row[:width] for row in rows]) if rows else "nothing is left to do")
    if moment is not None and rows:
        until = f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        tell(f"{made.left:,} clips will not be done by {until}" if made.left else f"all will be done by {until}")


def deadline(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """Return the moment that `--by` means.

    Raises:
        InvalidJob: It is no time.
    """
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
            hour, minute = map(int, text.split(":"))
            local = now.astimezone(zone)
            moment = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return (moment if moment > local else moment + timedelta(days=1)).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidJob(f"--by {text!r} is no time; use 07:00 or 2026-12-24T07:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    return moment.astimezone(UTC)


def schedule_record(view: ScheduleView) -> dict[str, Any]:
    """Return a schedule as plain data."""
    return {
        "schedule": view.schedule.name,
        "cron": view.schedule.cron.expression,
        "tz": view.schedule.cron.zone.key,
        "catch_up": view.schedule.catch_up,
        "policy": dict(view.schedule.policy),
        "jobs": view.jobs,
        "paused": view.paused,
        "created_at": view.created_at,
        "next_at": view.next_at,
        "last_at": view.last_at,
        "last_batch": view.last_batch,
        "error": view.error,
    }


def plan_record(made: FarmForecast) -> dict[str, Any]:
    """Return a plan as plain data."""
    return {
        "now": made.now.timestamp(),
        "by": None if made.by is None else made.by.timestamp(),
        "left": made.left,
        "batches": [_forecast_record(forecast) for forecast in made.batches],
        "lanes": [_lane_record(lane) for lane in made.lanes],
    }


def _forecast_record(forecast: Forecast) -> dict[str, Any]:
    finish = forecast.finish_at
    return {**asdict(forecast), "finish_at": None if finish is None else finish.timestamp()}


def _lane_record(lane: LanePace) -> dict[str, Any]:
    return {
        "lane": lane.lane,
        "workers": lane.workers,
        "seconds_per_clip": None if lane.pace is None else lane.pace.seconds,
        "measured_clips": 0 if lane.pace is None else lane.pace.clips,
        "clips_per_hour": lane.clips_per_hour,
    }


def _finish(forecast: Forecast, zone: tzinfo | None) -> str:
    if forecast.finish_at is None:
        return f"unknown: {forecast.why}"
    own = Windows.parse(forecast.window).zone if forecast.window else None
    return f"{forecast.finish_at.astimezone(zone or own):%Y-%m-%d %H:%M %Z}"


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
        "  paused" if view.paused else f"  next run {_time(view.next_at, zone)}",
        f"  missed runs: {view.schedule.catch_up}",
        *(f"  {name}: {value}" for name, value in view.schedule.policy.items()),
    ]
    if view.last_batch:
        lines.append(f"  last run {_time(view.last_at, zone)}: {view.last_batch}")
    if view.error:
        lines.append(f"  last run failed: {view.error}")
    return "\n".join(lines)


def _time(seconds: float | None, zone: str) -> str:
    if seconds is None:
        return "never"
    return f"{datetime.fromtimestamp(seconds, zone_of(zone)):%Y-%m-%d %H:%M:%S %Z}"
