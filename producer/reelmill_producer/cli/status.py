"""The command `status`: batches and workers, one batch, or one job."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView, WorkerView
from reelmill_common.ledger.overview import Memory
from reelmill_common.prices import Prices
from reelmill_common.settings import Settings
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.deadlines import deadline_text, finish_of, in_time
from reelmill_producer.cells.farms import Cells, said
from reelmill_producer.cli.console import inform, print_text
from reelmill_producer.cli.options import Json, SomeTarget
from reelmill_producer.cli.output import batch_line, link, print_json, table
from reelmill_producer.cli.session import read_settings, reading
from reelmill_producer.client import Reelmill
from reelmill_producer.control import names_job
from reelmill_producer.outputs.records import IN_HAND, account_record, batch_record, job_record, outcome, worker_record


def status(
    target: SomeTarget = "",
    *,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="List every job of a batch, in the order of submission.")
    ] = False,
    json: Json = False,
) -> None:
    """Show batches and workers, a batch, or a job."""
    if jobs and (not target or names_job(target)):
        raise typer.BadParameter("--jobs lists the jobs of a batch; name one")
    settings = read_settings()
    if settings.cells and not target:
        _show_cells(settings, json=json)
        return
    with reading(*filter(None, [target])) as farm:
        if not target:
            _show_farm(farm.batches(), farm.workers(), farm.ledger.overview.memory(), json=json)
            return
        found = farm.status(target)
        if isinstance(found, JobView):
            _show_job(farm, found, json=json)
        else:
            _show_batch(farm, found, json=json, jobs=jobs)


BATCH_HEAD = ("BATCH", "STATE", "CLIPS", "FAILED", "CANCELLED", "REMAINING", "PRIORITY")
WORKER_HEAD = ("WORKER", "STATE", "LANE", "CLIPS", "REASON")


def _show_farm(batches: list[BatchView], workers: list[WorkerView], memory: Memory, *, json: bool) -> None:
    if json:
        known = {"batches": list(map(batch_record, batches)), "workers": list(map(worker_record, workers))}
        print_json({**known, "redis": _memory_record(memory)})
        return
    typer.echo(table(BATCH_HEAD, list(map(_batch_row, batches))) if batches else "no batches")
    typer.echo("")
    typer.echo(table(WORKER_HEAD, list(map(_worker_row, workers))) if workers else "no workers")
    if memory.limit_bytes:
        typer.echo("")
        typer.echo(_memory_line(memory))


def _memory_record(memory: Memory) -> dict[str, int | None]:
    return {
        "used_bytes": memory.used_bytes,
        "limit_bytes": memory.limit_bytes,
        "full_in_s": None if memory.full_in_s is None else round(memory.full_in_s),
    }


def _memory_line(memory: Memory) -> str:
    line = f"Redis uses {memory.used_bytes / 1e9:.2f} of {memory.limit_bytes / 1e9:.2f} GB"
    if memory.full_in_s is None:
        return line
    days = memory.full_in_s / 86_400
    return f"{line}: full in {days:,.1f} days at {memory.clips_per_h:,.0f} clips an hour, if nothing is forgotten"


def _show_cells(settings: Settings, *, json: bool) -> None:
    """Show the batches and workers of all cells; those that do not answer are named.

    Raises:
        LedgerUnavailable: No cell answers.
    """
    with Cells(settings) as cells:
        answers, errors = cells.ask(lambda farm: (farm.batches(), farm.workers(), farm.ledger.overview.memory()))
    if not answers:
        raise LedgerUnavailable(f"no cell answers: {said(errors)}")
    batches = [(cell, view) for cell, (views, _, _) in answers.items() for view in views]
    batches.sort(key=lambda item: item[1].created_at, reverse=True)
    workers = [(cell, view) for cell, (_, views, _) in answers.items() for view in views]
    memories = {cell: memory for cell, (_, _, memory) in answers.items()}
    if json:
        answered = [
            {
                "cell": cell,
                "error": str(errors[cell]) if cell in errors else None,
                "redis": _memory_record(memories[cell]) if cell in memories else None,
            }
            for cell in cells.names
        ]
        print_json(
            {
                "batches": [{"cell": cell, **batch_record(view)} for cell, view in batches],
                "workers": [{"cell": cell, **worker_record(view)} for cell, view in workers],
                "cells": answered,
            }
        )
    else:
        rows = [(cell, *_batch_row(view)) for cell, view in batches]
        typer.echo(table(("CELL", *BATCH_HEAD), rows) if rows else "no batches")
        typer.echo("")
        rows = [(cell, *_worker_row(view)) for cell, view in workers]
        typer.echo(table(("CELL", *WORKER_HEAD), rows) if rows else "no workers")
        limited = {cell: memory for cell, memory in memories.items() if memory.limit_bytes}
        for number, (cell, memory) in enumerate(limited.items()):
            typer.echo(("" if number else "\n") + f"cell {cell}: {_memory_line(memory)}")
    for cell, error in errors.items():
        inform(f"cell {cell} is not shown: {error}")


def _batch_row(view: BatchView) -> tuple[str, ...]:
    return (
        view.name,
        outcome(view) or view.state.value,
        f"{view.counts.get(JobState.SUCCEEDED, 0):,}/{view.total:,}",
        *(f"{view.counts.get(state, 0) or ''}" for state in (JobState.FAILED, JobState.CANCELLED)),
        f"{view.remaining:,}",
        str(view.priority),
    )


def _worker_row(view: WorkerView) -> tuple[str, ...]:
    return (view.name, view.state.value, view.lane, str(len(view.jobs)), view.reason or view.trouble)


def _show_batch(farm: Reelmill, view: BatchView, *, json: bool, jobs: bool) -> None:
    if json:
        in_hand = farm.jobs(view.name, states=IN_HAND)
        account = account_record(view.account, Prices.of(farm.settings))
        listed = {"jobs": list(map(job_record, farm.jobs(view.name)))} if jobs else {}
        met = in_time(view.finish_by, finish_of(farm, view)[0]) if view.finish_by else None
        record = {**batch_record(view), "in_time": met, "account": account}
        print_json({**record, "in_hand": list(map(job_record, in_hand)), **listed})
        return
    typer.echo(batch_line(view))
    if view.finish_by:
        print_text(f"  {deadline_text(view, *finish_of(farm, view))}")
    if jobs:
        for job in farm.jobs(view.name):
            typer.echo(f"  {job.batch}/{job.row}: {job.state.value} {job.stage}".rstrip())
        return
    for job in farm.jobs(view.name, states=IN_HAND):
        typer.echo(f"  {job.row}: {job.state.value} {job.stage} on {job.worker} ({job.job_id})")
    for worker in farm.workers():
        if worker.trouble and view.remaining:
            print_text(f"  worker {worker.name}: {worker.trouble}")
    for job in farm.ledger.jobs.page(view.name, states=[JobState.FAILED], count=20):
        typer.echo(f"  {job.row}: failed, {_error(job)} ({job.job_id})")


def _show_job(farm: Reelmill, job: JobView, *, json: bool) -> None:
    clip = farm.clip(job) if job.result is not None else None
    if json:
        print_json(job_record(job, clip))
        return
    where = f" on {job.worker}" if job.worker else ""
    typer.echo(f"job {job.job_id} ({job.batch}/{job.row}): {job.state.value} {job.stage}".rstrip() + where)
    print_text(f"  attempts {job.attempts}, seed {job.spec.seed}, prompt: {job.spec.prompt}")
    if job.error is not None:
        typer.echo(f"  last error: {_error(job)}")
    if clip is not None:
        typer.echo(f"  {link(clip)}")


def _error(job: JobView) -> str:
    """Return a job's error on one line, whatever it holds."""
    return "" if job.error is None else printable(f"{job.error.get('code', '')}: {job.error.get('message', '')}")
