"""Commands that look: watch, status, why, results, export."""

from __future__ import annotations

from typing import Annotated

import typer

from reelmill_common.errors import LedgerUnavailable
from reelmill_common.jobs import JobState
from reelmill_common.ledger import BatchView, JobView, WorkerView
from reelmill_common.prices import Prices
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.why import sentence
from reelmill_producer.analysis.why import why as explain
from reelmill_producer.cli import progress
from reelmill_producer.cli.errors import say, tell
from reelmill_producer.cli.options import BatchName, Json, SomeTarget, Target
from reelmill_producer.cli.output import (
    account_record,
    batch_line,
    batch_record,
    clip_record,
    job_record,
    link,
    outcome,
    print_json,
    reason_record,
    table,
    worker_record,
)
from reelmill_producer.cli.session import read_settings, reading, require_history, session
from reelmill_producer.client import Reelmill
from reelmill_producer.control import names_job
from reelmill_producer.outputs.results_file import results_of


def watch(batch: BatchName, *, json: Json = False) -> None:
    """Follow a batch until it is done.

    With --json each event is printed, from the batch's first on, as it comes. Exits 69 unless all clips succeeded.
    """
    settings = read_settings()
    require_history(settings)
    with session(settings) as opened:
        view = opened.farm.batch(batch)
        if opened.idle and view.remaining:
            raise LedgerUnavailable(f"{batch_line(view)}, and no farm runs; `reelmill up` goes on with it")
        ended = progress.follow(opened, batch, after="" if json else "$", events_as_json=json)
        progress.require_success(ended, opened.farm)


def status(
    target: SomeTarget = "",
    *,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Of a batch: list every job, in the order of submission.")
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


def why(target: Target, *, json: Json = False) -> None:
    """Say in one sentence why a batch or a job does not go on, or how it does."""
    with reading() as farm:
        found, reason = explain(farm, target)
    words = sentence(found, reason)
    if json:
        print_json({"target": target, "state": found.state.value, "sentence": words, **reason_record(reason)})
    else:
        say(words)


def results(batch: BatchName, *, json: Json = False) -> None:
    """Print where a batch's finished clips are.

    One a line: paths in a local folder, else links that work now.
    """
    with reading() as farm:
        clip = None
        for clip in farm.clips(batch):
            if json:
                print_json(clip_record(clip))
            else:
                typer.echo(link(clip))
        if clip is not None and farm.store.links_note:
            tell(farm.store.links_note)


def export(batch: BatchName) -> None:
    """Print what became of a batch's jobs.

    JSON, one object a line for each job that has ended, in the order of submission.
    """
    with reading() as farm:
        for result in results_of(farm, batch):
            print_json(result)


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
    crew = [
        (view.name, view.state.value, view.lane, str(len(view.jobs)), view.reason or view.trouble) for view in workers
    ]
    typer.echo(table(("WORKER", "STATE", "LANE", "CLIPS", "REASON"), crew) if crew else "no workers")


def _show_batch(farm: Reelmill, view: BatchView, *, json: bool, jobs: bool) -> None:
    if json:
        in_hand = farm.jobs(view.name, states=progress.IN_HAND)
        account = account_record(view.account, Prices.of(farm.settings))
        listed = {"jobs": list(map(job_record, farm.jobs(view.name)))} if jobs else {}
        print_json({**batch_record(view), "account": account, "in_hand": list(map(job_record, in_hand)), **listed})
        return
    typer.echo(batch_line(view))
    if jobs:
        for job in farm.jobs(view.name):
            typer.echo(f"  {job.batch}/{job.row}: {job.state.value} {job.stage}".rstrip())
        return
    for job in farm.jobs(view.name, states=progress.IN_HAND):
        typer.echo(f"  {job.row}: {job.state.value} {job.stage} on {job.worker} ({job.job_id})")
    for worker in farm.workers():
        if worker.trouble and view.remaining:
            say(f"  worker {worker.name}: {worker.trouble}")
    for job in farm.ledger.jobs.page(view.name, states=progress.FAILED, count=20):
        typer.echo(f"  {job.row}: failed, {_error(job)} ({job.job_id})")


def _show_job(farm: Reelmill, job: JobView, *, json: bool) -> None:
    clip = farm.clip(job) if job.result is not None else None
    if json:
        print_json(job_record(job, clip))
        return
    where = f" on {job.worker}" if job.worker else ""
    typer.echo(f"job {job.job_id} ({job.batch}/{job.row}): {job.state.value} {job.stage}".rstrip() + where)
    say(f"  attempts {job.attempts}, seed {job.spec.seed}, prompt: {job.spec.prompt}")
    if job.error is not None:
        typer.echo(f"  last error: {_error(job)}")
    if clip is not None:
        typer.echo(f"  {link(clip)}")


def _error(job: JobView) -> str:
    """Return it in one line, whatever it holds."""
    return "" if job.error is None else printable(f"{job.error.get('code', '')}: {job.error.get('message', '')}")
