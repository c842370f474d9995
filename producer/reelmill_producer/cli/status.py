"""The command `status`: batches and workers, one batch, or one job."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView, WorkerView
from reelmill_common.prices import Prices
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.deadlines import deadline_text, finish_of, in_time
from reelmill_producer.cli.console import print_text
from reelmill_producer.cli.options import Json, SomeTarget
from reelmill_producer.cli.output import batch_line, link, print_json, table
from reelmill_producer.cli.session import reading
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
    with reading() as farm:
        if not target:
            _show_farm(farm.batches(), farm.workers(), json=json)
            return
        found = farm.status(target)
        if isinstance(found, JobView):
            _show_job(farm, found, json=json)
        else:
            _show_batch(farm, found, json=json, jobs=jobs)


def _show_farm(batches: list[BatchView], workers: list[WorkerView], *, json: bool) -> None:
    if json:
        print_json({"batches": list(map(batch_record, batches)), "workers": list(map(worker_record, workers))})
        return
    rows = [
        (
            view.name,
            outcome(view) or view.state.value,
            f"{view.counts.get(JobState.SUCCEEDED, 0):,}/{view.total:,}",
            *(f"{view.counts.get(state, 0) or ''}" for state in (JobState.FAILED, JobState.CANCELLED)),
            f"{view.remaining:,}",
            str(view.priority),
        )
        for view in batches
    ]
    head = ("BATCH", "STATE", "CLIPS", "FAILED", "CANCELLED", "REMAINING", "PRIORITY")
    typer.echo(table(head, rows) if rows else "no batches")
    typer.echo("")
    rows = [
        (view.name, view.state.value, view.lane, str(len(view.jobs)), view.reason or view.trouble) for view in workers
    ]
    typer.echo(table(("WORKER", "STATE", "LANE", "CLIPS", "REASON"), rows) if rows else "no workers")


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
