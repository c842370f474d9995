"""Submissions: what a request asks of a batch, and what becomes of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from reelmill_common.errors import JobConflict
from reelmill_common.forecast import shapes_of
from reelmill_common.gpus import profile_here, require_profile
from reelmill_common.prices import Prices
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.deadlines import in_time
from reelmill_producer.analysis.estimates import change_of, estimate
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.columns import asked_columns
from reelmill_producer.prompts.files import FileReport, PromptFile, prompts_of
from reelmill_producer.prompts.grids import seeds_of
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.prompts.row_keys import Placed
from reelmill_producer.reuse import reuse_mode
from reelmill_producer.submission import submit_file
from reelmill_producer.web.callers import Caller
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.schemas import BatchPolicy, CheckQuery, CreateQuery, SubmitQuery
from reelmill_producer.web.uploads import Upload


def options_of(query: SubmitQuery, upload: Upload) -> PolicyOptions:
    """Return the policy that a request asks for: its query's, completed by its body's.

    Raises:
        Refusal: 422: the body's has unknown fields, or values of another type.
    """
    try:
        body = BatchPolicy.model_validate(upload.policy)
    except ValidationError as err:
        found = [f"policy.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in err.errors()[:10]]
        raise Refusal(422, "; ".join(found)) from None
    return _options(query.policy()).over(_options(body))


def _options(policy: BatchPolicy) -> PolicyOptions:
    return PolicyOptions(**policy.model_dump(exclude_none=True))


def submit(caller: Caller, batch: str, upload: Upload, query: SubmitQuery, *, source: str = "") -> dict[str, Any]:
    """Submit the rows of an upload to a batch; return what `SubmitAnswer` has.

    Args:
        caller: Who submits.
        batch: Name of the batch.
        upload: The rows.
        query: What else is asked for.
        source: What distinguishes a new batch from another of its name, as in `Batch`.

    Raises:
        Refusal: 422: there are bad rows, which are listed.
        InvalidJob: Something that is asked for is not valid.
        JobConflict: Rows are there with other content.
        NotAllowed: The caller may not submit for this owner.
    """
    now = datetime.now(UTC)
    options = options_of(query, upload)
    owned(caller, batch, options)  # who may not is told before a long file is read
    mode = reuse_mode(query.reuse)
    options.batch(batch, now, mark="")
    with opened(caller, upload, query) as (prompts, report):
        options = owned(caller, batch, prompts.policy(options, batch, now))
        policy = replace(options.batch(batch, now, mark=""), source=source)
        submitted = submit_file(caller.farm, policy, options.change(now), prompts, mode)
        finish_at = caller.console.forecaster.finish_of(caller.farm, batch, anew=True)
        return {
            "batch": batch,
            "added": submitted.added,
            "unchanged": submitted.unchanged,
            "reused": submitted.reused,
            "finish_expected_at": finish_at,
            "in_time": in_time(caller.farm.batch(batch).finish_by, finish_at),
            "report": report_record(prompts, report),
        }


def create(caller: Caller, upload: Upload, query: CreateQuery, key: str) -> dict[str, Any]:
    """Submit the rows of an upload to a batch of its own; raises as `submit`.

    The key of a request makes the name of its batch, and the batch keeps the hash of the body: nothing else needs to be
    remembered, in whichever process the request comes in again.

    Raises:
        JobConflict: The key was used with another body, or the name is taken.
    """
    principal = caller.principal
    source = f"key:{upload.digest[:32]}" if key else ""
    made = hashlib.sha256(f"{principal.name}\n{principal.owner}\n{key}".encode()).hexdigest()[:20]
    name = query.batch or f"api-{made if key else secrets.token_hex(10)}"
    if caller.farm.has_batch(name):
        view = caller.farm.batch(name)
        if not principal.may_see(view.owner) or view.source != source or not key:
            what = f"Idempotency-Key {key[:40]!r} was used with another body" if key else f"batch {name!r} exists"
            raise JobConflict(f"{what}; use another, or PUT to add to a batch")
    return submit(caller, name, upload, query, source=source)


def check(caller: Caller, upload: Upload, query: CheckQuery) -> dict[str, Any]:
    """Say what a submit would do; return what `CheckAnswer` has. Nothing is submitted.

    Raises:
        InvalidJob: Something that is asked for is not valid.
        NotAllowed: The caller may not submit for this owner.
    """
    now = caller.farm.ledger.timetable.now()
    batch = query.batch or f"check-{secrets.token_hex(8)}"
    options = options_of(query, upload)
    owned(caller, batch, options)
    options.batch(batch, now, mark="")
    farm, prices = caller.farm, Prices.of(caller.farm.settings)
    with read(caller, upload, query) as prompts:
        report = prompts.check()
        policy = owned(caller, batch, prompts.policy(options, batch, now)).batch(batch, now, mark="")
        jobs = prompts.jobs(batch)
        change = change_of(farm.ledger, Placed(farm.ledger, jobs))
        found = estimate(farm.ledger, shapes_of(jobs), change.new, policy=policy, depth=farm.settings.dispatch_depth)
        finish_at = None if found.finish_s is None else now.timestamp() + found.finish_s
        return {
            "batch": query.batch,
            "rows": report.rows,
            "duplicates": report.duplicates,
            "bad": wrong_lines(report, upload),
            "bad_count": report.bad_count,
            "new": sum(change.new.values()),
            "unchanged": change.unchanged,
            "conflicts": change.conflicts,
            "notes": report_record(prompts, report)["notes"],
            "estimate": {
                "seconds": found.finish_s,
                "finish_at": finish_at,
                "gpu_hours": found.gpu_hours,
                "cost": None if found.gpu_hours is None else prices.cost(found.gpu_hours * 3600, None),
                "currency": prices.currency,
                "in_time": found.in_time,
                "unknown": found.unknown,
            },
        }


@contextmanager
def read(caller: Caller, upload: Upload, query: SubmitQuery) -> Generator[PromptFile]:
    """Give the rows of an upload as a prompt file, to be checked. Raises `InvalidJob`: an option cannot be followed."""
    settings = caller.farm.settings
    profile = query.profile or profile_here(settings)
    require_profile(profile)
    if query.seeds:
        seeds_of(query.seeds)
    with prompts_of(
        upload.stream,
        upload.name,
        upload.form,
        defaults={"profile": profile},
        admit=PromptCheck(settings, profile),
        columns=asked_columns(query.column),
        seeds=query.seeds,
    ) as prompts:
        yield prompts


@contextmanager
def opened(caller: Caller, upload: Upload, query: SubmitQuery) -> Generator[tuple[PromptFile, FileReport]]:
    """Check the rows of an upload; give the file and the report. Raises as `submit`."""
    with read(caller, upload, query) as prompts:
        report = prompts.check()
        if report.bad_count and not (query.skip_invalid and report.rows):
            fields = {"code": "invalid_prompt_file", "lines": wrong_lines(report, upload)}
            raise Refusal(422, wrong_text(report), fields=fields)
        yield prompts, report


def owned(caller: Caller, batch: str, options: PolicyOptions) -> PolicyOptions:
    """Return a policy with the owner that the caller's batches have.

    Raises:
        NotAllowed: They may not submit, or not for that owner.
        JobConflict: The batch is of an owner that they may not see.
    """
    principal = caller.principal
    owner = principal.owner_of_new(options.owner or None)
    if caller.farm.has_batch(batch):
        view = caller.farm.batch(batch)
        if not principal.may_see(view.owner):
            raise JobConflict(f"the name {batch!r} is taken; submit under another batch name")
        owner = options.owner or view.owner
    return replace(options, owner=owner)


def wrong_text(report: FileReport) -> str:
    """Return how many rows are bad, for people."""
    rows = "row is" if report.bad_count == 1 else "rows are"
    return f"{report.bad_count:,} {rows} bad and {report.rows:,} good; nothing was submitted"


def wrong_lines(report: FileReport, upload: Upload) -> list[dict[str, Any]]:
    """Return the bad lines with their text, as far as it is known: of JSON rows, the number of the row."""
    numbers = {item.line for item in report.bad}
    texts: dict[int, str] = {}
    upload.stream.seek(0)
    for number, line in enumerate(upload.stream, 1):
        if number in numbers:
            texts[number] = line[:2000].decode("utf-8", "replace").rstrip("\r\n")
        if number >= max(numbers, default=0):
            break
    return [{"line": item.line, "reason": item.reason, "text": texts.get(item.line, "")} for item in report.bad]


def report_record(prompts: PromptFile, report: FileReport) -> dict[str, Any]:
    """Return a report; its fields are those of `RowReport`."""
    notes = [printable(note) for note in prompts.reading.assumptions()]
    if isinstance(prompts.admit, PromptCheck) and (note := prompts.admit.note()):
        notes.append(note)
    return {"rows": report.rows, "duplicates": report.duplicates, "skipped": report.bad_count, "notes": notes}
