"""The command `submit`: a file of prompts becomes a batch."""

from __future__ import annotations

import math
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from reelmill_common.contract import class_of, lane_name, profile_of
from reelmill_common.errors import InvalidPromptFile
from reelmill_common.jobs import Batch
from reelmill_common.ledger import BatchView, Submitted
from reelmill_common.settings import Settings
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.deadlines import deadline_text, finish_of
from reelmill_producer.cli import progress
from reelmill_producer.cli.batch_name import name_of_batch
from reelmill_producer.cli.console import inform, informed_on_interrupt
from reelmill_producer.cli.dry_run import show_dry_run
from reelmill_producer.cli.options import (
    After,
    AfterAny,
    Column,
    Expires,
    FileFormat,
    FinishBy,
    Json,
    MaxFailures,
    MaxInFlight,
    NewBatch,
    Owner,
    Priority,
    Profile,
    Reuse,
    Seeds,
    StartAfter,
    Weight,
    Window,
    WorkerClass,
)
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import Session, default_profile, read_settings, session
from reelmill_producer.client import Reelmill
from reelmill_producer.outputs.records import batch_record
from reelmill_producer.outputs.results_file import ResultsFile, open_results_file, results_of
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.columns import asked_columns
from reelmill_producer.prompts.files import FileReport, PromptFile, open_prompt_file, refusal
from reelmill_producer.prompts.formats import FORMATS, Format
from reelmill_producer.prompts.grids import seeds_of
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.reuse import reuse_mode
from reelmill_producer.submission import submit_file


def submit(  # noqa: PLR0913 - one parameter an option
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Prompts: .txt, .csv, .tsv, .json, .jsonl or .yaml; - reads stdin.")
    ],
    *,
    batch: NewBatch = "",
    form: FileFormat = "",
    column: Column = None,
    seeds: Seeds = "",
    priority: Priority = None,
    window: Window = "",
    owner: Owner = "",
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    max_failures: MaxFailures = "",
    start_after: StartAfter = "",
    expires: Expires = "",
    finish_by: FinishBy = "",
    after: After = None,
    after_any: AfterAny = None,
    worker_class: WorkerClass = "",
    profile: Profile = "",
    reuse: Reuse = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and submit nothing.")] = False,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Submit the good rows of a bad file.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the batch is done, and show progress.")] = False,
    results: Annotated[Path | None, typer.Option(help="With --wait: a JSON line for each job into this file.")] = None,
    rate: Annotated[float | None, typer.Option(help="With --dry-run: money per GPU-hour, to show the cost.")] = None,
    json: Json = False,
) -> None:
    """Submit a file of prompts as a batch.

    Prints the batch's name. What the batch has already is left alone, so a file may be submitted again.

    Every row is checked first: if one is wrong, all wrong ones are listed and nothing is submitted.

    A YAML file may have policy of its own under `batch:`; an option wins over it.
    """
    _check_usage(results, rate, wait=wait, dry_run=dry_run)
    mode = reuse_mode(reuse)
    settings = read_settings(profile)
    asked = PolicyOptions(
        priority=priority, window=window, owner=owner, weight=weight, max_in_flight=max_in_flight,
        max_failures=max_failures, start_after=start_after, expires=expires, finish_by=finish_by, after=after,
        after_any=after_any, worker_class=worker_class,
    )  # fmt: skip
    now = datetime.now().astimezone()
    with opened_prompts(file, form, settings, column=column, seeds=seeds) as prompts:
        asked.batch(batch or prompts.batch_name, now)  # wrong options are told before a long file is read
        report = checked(prompts, skip_invalid=skip_invalid)
        name = batch or name_of_batch(settings, prompts)
        options = prompts.policy(asked, name, now)
        policy = replace(options.batch(name, now), source="" if batch else prompts.source)
        if dry_run:
            _print_header(prompts, options)
            show_dry_run(settings, policy, prompts.jobs(name), report, rate=rate, json=json)
            return
        renders = "reelmill submit --wait" if wait else ""
        with _opened_results(results, file) as results_file, session(settings, renders=renders) as opened:
            before = opened.farm.ledger.events.newest()
            with informed_on_interrupt(f"what was sent of batch {name} stays; the same command again adds the rest"):
                submitted = submit_file(opened.farm, policy, options.change(now), prompts, mode)
            _print_submitted(opened.farm, policy, submitted, report, default_profile(settings))
            _warn_if_late(opened.farm, name)
            view = followed(opened, name, after=before) if wait else opened.farm.batch(name)
            _show_submitted(view, submitted, report, json=json)
            _write_results(results_file, opened.farm, name, results)
            _leave(opened, view, waited=wait)


def opened_prompts(
    file: str, form: str, settings: Settings, *, column: Sequence[str] | None = None, seeds: str = ""
) -> AbstractContextManager[PromptFile]:
    """Open a file as the options of a command say.

    Raises:
        InvalidJob: An option cannot be followed.
        InvalidPromptFile: The file cannot be opened, or its format is not known.
    """
    profile = default_profile(settings)
    if seeds:
        seeds_of(seeds)
    return open_prompt_file(
        file,
        sys.stdin.buffer,
        form=format_option(form),
        defaults={"profile": profile},
        admit=PromptCheck(settings, profile),
        columns=asked_columns(column or ()),
        seeds=seeds,
    )


def _print_header(prompts: PromptFile, options: PolicyOptions) -> None:
    if prompts.head is not None:
        inform(f"its policy, with what the file says under batch: {options}")


def _print_submitted(farm: Reelmill, policy: Batch, submitted: Submitted, report: FileReport, profile: str) -> None:
    inform(summary(policy.name, submitted, report))
    warn_of_class(farm, policy.worker_class, profile)


def _warn_if_late(farm: Reelmill, name: str) -> None:
    view = farm.batch(name)
    if view.finish_by and view.remaining:
        inform(printable(deadline_text(view, *finish_of(farm, view))))


def _write_results(file: ResultsFile | None, farm: Reelmill, name: str, path: Path | None) -> None:
    if file is not None:
        inform(f"{file.write(results_of(farm, name)):,} results in {path}")


def _leave(opened: Session, view: BatchView, *, waited: bool) -> None:
    """Judge a batch that has ended, or see to it that one that has not will be looked after."""
    if waited:
        progress.require_success(view, opened.farm)
        return
    warn_if_idle(opened)
    if not opened.farm.ledger.settle():  # it may be hours until a person looks again
        why = opened.farm.ledger.forgets() or "its disk is slow"
        inform(f"Redis has not confirmed that {view.name} is on its disk ({why}). After a power cut submit it again.")


def _check_usage(results: Path | None, rate: float | None, *, wait: bool, dry_run: bool) -> None:
    if results is not None and (dry_run or not wait):
        raise typer.BadParameter("--results needs --wait, and no --dry-run; `reelmill export` prints them at any time")
    if rate is not None and not dry_run:
        raise typer.BadParameter("--rate is for --dry-run, which shows the cost; add it, or leave --rate out")
    if rate is not None and not 0 <= rate < math.inf:
        raise typer.BadParameter(f"--rate {rate} is not a valid price; give money per GPU-hour, for example 2.5")


@contextmanager
def _opened_results(path: Path | None, source: str) -> Generator[ResultsFile | None]:
    if path is None:
        yield None
        return
    with open_results_file(path, source=source) as opened:
        yield opened


def warn_of_class(farm: Reelmill, worker_class: str, profile: str) -> None:
    """Say that no worker has ever had a class, or served a profile, if none has: it may be misspelt.

    Nothing is said of a farm that no worker has joined yet: `warn_if_idle` and `watch` say that.
    """
    served = farm.ledger.workers.served()
    if lane_name(profile, worker_class) in served or not (served or worker_class):
        return
    if not worker_class:
        lanes = ", ".join(sorted({profile_of(lane) for lane in served}))
        inform(f"no worker has ever worked for {profile}; its clips wait until one does (known profiles: {lanes})")
        return
    known = sorted(class_of(lane) for lane in served if profile_of(lane) == profile and class_of(lane))
    inform(
        f"no worker of class {worker_class} has ever worked for {profile}; its clips wait until one does "
        f"(known classes: {', '.join(known) or 'none'})"
    )


def followed(opened: Session, name: str, *, after: str) -> BatchView:
    """Show a batch's progress to its end, with a worker of our own if it needs one; return it as it is then.

    Args:
        opened: The farm.
        name: The batch.
        after: Id of the newest event before the batch was submitted: what was told before is not told again.
    """
    if opened.farm.batch(name).remaining:
        opened.start_worker()
    return progress.follow(opened, name, after=after)


def checked(prompts: PromptFile, *, skip_invalid: bool) -> FileReport:
    """Check a file, and say what was assumed of it and which lines are skipped.

    Raises:
        InvalidPromptFile: It has bad lines that may not be skipped, or no good one.
    """
    report = prompts.check() if skip_invalid else prompts.checked()
    for note in prompts.reading.assumptions():
        inform(printable(note))
    note_unknown(prompts.admit)
    if not report.rows:
        raise InvalidPromptFile(refusal(prompts, report))
    for item in report.bad:
        inform(f"skipped line {item.line}: {item.reason}")
    return report


def note_unknown(check: object) -> None:
    """Say which words of the prompts that were checked the tiny model did not learn, where there are any."""
    if isinstance(check, PromptCheck) and (note := check.note()):
        inform(note)


def summary(name: str, submitted: Submitted, report: FileReport) -> str:
    """Return what a submit did, for people."""
    if not submitted.added:
        text = f"nothing new: batch {name} has all {submitted.unchanged:,} jobs already"
    else:
        text = f"{submitted.added:,} added to batch {name}, {submitted.unchanged:,} unchanged"
    if submitted.reused:
        text += f"; {submitted.reused:,} answered by clips that are there"
    if report.duplicates:
        text += f"; {report.duplicates:,} duplicate rows in the file count once"
    if report.bad_count:
        text += f"; {report.bad_count:,} bad lines skipped"
    return text


def _show_submitted(view: BatchView, submitted: Submitted, report: FileReport, *, json: bool) -> None:
    if json:
        counts = {"added": submitted.added, "unchanged": submitted.unchanged, "reused": submitted.reused}
        print_json({**batch_record(view), **counts, "duplicates": report.duplicates, "skipped": report.bad_count})
    else:
        typer.echo(view.name)


def warn_if_idle(opened: Session) -> None:
    """Say that nothing renders if no farm runs."""
    if opened.idle:
        inform("no farm runs here; `reelmill up` renders what waits")


def format_option(text: str) -> Format | None:
    """Return the format that `--format` names, or None if that is left to the file's suffix.

    Raises:
        InvalidPromptFile: There is none of that name.
    """
    text = {"json": "jsonl", "ndjson": "jsonl", "tsv": "csv", "yml": "yaml"}.get(text, text)
    if text and text not in FORMATS:
        raise InvalidPromptFile(f"--format {text!r} is unknown; known are {', '.join(FORMATS)}")
    return text or None
