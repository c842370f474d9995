"""The command `plan`: when each batch will be done, and what will not be done by a time."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated

import typer

from reelmill_common.calendar.time_text import time_at
from reelmill_common.calendar.windows import Windows, zone_of
from reelmill_common.forecast import Aims
from reelmill_producer.analysis.plans import Forecast, plan_of
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.options import Json, ZoneOfBy
from reelmill_producer.cli.output import print_json, table
from reelmill_producer.cli.session import reading


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
        made = plan_of(farm.ledger, end, depth=farm.settings.dispatch_depth, aims=Aims.of(farm.settings))
    if json:
        print_json(made.record())
        return
    rows = [
        (row.batch, str(row.priority), f"{row.remaining:,}", _finish(row, zone), f"{row.left:,}")
        for row in made.batches
    ]
    head = ("BATCH", "PRIORITY", "REMAINING", "DONE AT", "LEFT")
    width = len(head) if end is not None else len(head) - 1
    typer.echo(table(head[:width], [row[:width] for row in rows]) if rows else "nothing is left to do")
    for lane in made.lanes:
        if rows and lane.wanted != lane.workers:
            inform(f"{lane.lane}: {lane.workers:,} workers are there, {lane.wanted:,} are wanted")
    if end is not None and rows:
        until = f"{end.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        inform(f"{made.left:,} clips will not be done by {until}" if made.left else f"all will be done by {until}")


def _finish(forecast: Forecast, zone: tzinfo | None) -> str:
    if forecast.finish_at is None:
        return f"unknown: {forecast.why}"
    own = Windows.parse(forecast.window).zone if forecast.window else None
    return f"{forecast.finish_at.astimezone(zone or own):%Y-%m-%d %H:%M %Z}"
