"""The option `submit --dry-run`: what a file holds, what it would change on the farm, and what that would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from reelmill_common.errors import JobConflict, LedgerUnavailable
from reelmill_common.forecast import ClipPace, Shape, shapes_of
from reelmill_common.jobs import Batch
from reelmill_common.settings import Settings
from reelmill_producer.analysis.estimates import Change, Estimate, change_of, estimate
from reelmill_producer.analysis.wait_texts import time_text
from reelmill_producer.cli.console import inform
from reelmill_producer.cli.output import print_json
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded import state_file
from reelmill_producer.prompts.files import FileJobs, FileReport
from reelmill_producer.prompts.row_keys import Placed


def show_dry_run(
    settings: Settings, policy: Batch, jobs: FileJobs, report: FileReport, *, rate: float | None, json: bool
) -> None:
    """Print what a submit of some jobs would do. An embedded farm is asked only if it runs; it is not started.

    Raises:
        JobConflict: The submit would be refused with it; everything has been printed by then.
    """
    shapes = shapes_of(jobs)
    change, found = _asked(settings, policy, jobs, shapes)
    cost = None if rate is None or found.gpu_hours is None else found.gpu_hours * rate
    if json:
        counts = {"jobs": report.rows, "duplicates": report.duplicates, "skipped": report.bad_count}
        estimated = {"gpu_hours": found.gpu_hours, "finish_s": found.finish_s, "cost": cost, "unknown": found.unknown}
        deadline = {"finish_by": found.finish_by or None, "in_time": found.in_time}
        print_json(
            {
                "batch": jobs.batch,
                "dry_run": True,
                **counts,
                **_change_record(change),
                "shapes": [_shape_record(shape, count, found.paces.get(shape)) for shape, count in shapes.items()],
                **estimated,
                **deadline,
            }
        )
    else:
        typer.echo(report.rows)
    _show_summary(jobs.batch, report, shapes, change, found)
    if rate is not None:
        inform(f"cost at {rate:g} a GPU-hour: " + ("unknown" if cost is None else f"{cost:,.2f}"))
    if change is not None and change.conflicts:
        raise JobConflict(
            f"batch {jobs.batch!r} has {change.conflicts:,} of these rows already, with other content; a submit would "
            "be refused. Give changed rows another id, or submit under another batch name"
        )


def _asked(
    settings: Settings, policy: Batch, jobs: FileJobs, shapes: Mapping[Shape, int]
) -> tuple[Change | None, Estimate]:
    nothing = Estimate(paces={}, gpu_hours=None, finish_s=None, unknown="no farm was asked: none runs here")
    if settings.embedded and state_file.running(settings.state_dir) is None:
        return None, nothing
    try:
        with Reelmill(settings) as farm:
            change = change_of(farm.ledger, Placed(farm.ledger, jobs))
            depth = farm.settings.dispatch_depth
            return change, estimate(farm.ledger, shapes, change.new, policy=policy, depth=depth)
    except LedgerUnavailable as err:
        return None, replace(nothing, unknown=f"no farm was asked: {err}")


def _show_summary(
    batch: str, report: FileReport, shapes: Mapping[Shape, int], change: Change | None, found: Estimate
) -> None:
    inform(f"{report.rows:,} {'job' if report.rows == 1 else 'jobs'} for batch {batch}; nothing was submitted")
    for shape, count in sorted(shapes.items()):
        pace = _pace_text(shape, found)
        inform(f"  {count:,} {shape.profile} {shape.width}x{shape.height}, {shape.frames} frames: {pace}")
    if change is not None:
        new = sum(change.new.values())
        inform(f"{new:,} new, {change.unchanged:,} unchanged, {change.conflicts:,} in conflict")
    inform("GPU-hours: " + (f"unknown: {found.unknown}" if found.gpu_hours is None else f"{found.gpu_hours:,.3f}"))
    if found.finish_s is not None:
        at = datetime.now(UTC).astimezone() + timedelta(seconds=found.finish_s)
        inform(
            f"finish: {at:%Y-%m-%d %H:%M %Z} if it is submitted now, given what waits and the workers that are there"
        )
    elif found.gpu_hours is not None:
        inform(f"finish: unknown: {found.unknown}")
    if found.in_time is not None:
        inform(f"that is {'in time for' if found.in_time else 'after'} its deadline, {time_text(found.finish_by)}")


def _pace_text(shape: Shape, found: Estimate) -> str:
    if shape not in found.paces:
        return "not asked"
    pace = found.paces[shape]
    if pace is None:
        return "unknown: no clip of this profile has finished yet"
    basis = "" if pace.same_shape else " of other sizes"
    return f"{pace.seconds:.2f} s a clip (mean of {pace.clips:,} finished clips{basis})"


def _change_record(change: Change | None) -> dict[str, Any]:
    if change is None:
        return {"new": None, "unchanged": None, "conflicts": None}
    return {"new": sum(change.new.values()), "unchanged": change.unchanged, "conflicts": change.conflicts}


def _shape_record(shape: Shape, count: int, pace: ClipPace | None) -> dict[str, Any]:
    return {
        **asdict(shape),
        "jobs": count,
        "seconds_per_clip": None if pace is None else pace.seconds,
        "measured_clips": 0 if pace is None else pace.clips,
        "measured_same_size": pace is not None and pace.same_shape,
    }
