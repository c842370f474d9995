"""The command `plan`: when each batch will be done, and what will not be done by a time."""

from __future__ import annotations

from dataclasses import asdict
from datetime import tzinfo
from typing import Annotated, Any

import typer

from reelmill_common.calendar.time_text import time_at
from reelmill_common.calendar.windows import Windows, zone_of
from reelmill_producer.analysis.plans import FarmForecast, Forecast, plan_of
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, ZoneOfBy
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.cli.session import reading
from reelmill_producer.outputs.records import record_of


def plan(
    *,
    by: Annotated[str, typer.Option(help="A time: 07:00 (the next one), 2026-12-24T07:00, or 8h from now.")] = "",
    tz: ZoneOfBy = "",
    json: Json = False,
) -> None:
    """Say when each batch will be done, and what will not be done by a time.

    From the seconds that finished clips took, the workers that are there now, windows, priorities, shares and limits.
    """
    zone = zone_of(tz) if tz else None
    with reading() as farm:
        end = time_at("--by", by, farm.ledger.timetable.now(), zone) if by else None
        made = plan_of(farm.ledger, end, depth=farm.settings.dispatch_depth)
    if json:
        print_json(_record(made))
        return
    rows = [
        (row.batch, str(row.priority), f"{row.remaining:,}", _finish(row, zone), f"{row.left:,}")
        for row in made.batches
    ]
    head = ("BATCH", "PRIORITY", "REMAINING", "DONE AT", "LEFT")
    width = len(head) if end is not None else len(head) - 1
    typer.echo(table(head[:width], [row[:width] for row in rows]) if rows else "nothing is left to do")
    if end is not None and rows:
        until = f"{end.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        inform(f"{made.left:,} clips will not be done by {until}" if made.left else f"all will be done by {until}")


def _record(made: FarmForecast) -> dict[str, Any]:
    return {
        "now": made.now.timestamp(),
        "by": None if made.by is None else made.by.timestamp(),
        "left": made.left,
        "batches": [_forecast_record(forecast) for forecast in made.batches],
        "lanes": [
            {
                **record_of(lane, "lane workers"),
                "seconds_per_clip": None if lane.pace is None else lane.pace.seconds,
                "measured_clips": 0 if lane.pace is None else lane.pace.clips,
                "clips_per_hour": lane.clips_per_hour,
            }
            for lane in made.lanes
        ],
    }


def _forecast_record(forecast: Forecast) -> dict[str, Any]:
    finish = forecast.finish_at
    return {**asdict(forecast), "finish_at": None if finish is None else finish.timestamp()}


def _finish(forecast: Forecast, zone: tzinfo | None) -> str:
    if forecast.finish_at is None:
        return f"unknown: {forecast.why}"
    own = Windows.parse(forecast.window).zone if forecast.window else None
    return f"{forecast.finish_at.astimezone(zone or own):%Y-%m-%d %H:%M %Z}"
