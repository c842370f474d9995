"""Submissions: what a request asks of a batch, and what becomes of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from reelmill_common.errors import NotAllowed
from reelmill_common.gpus import profile_here
from reelmill_common.text.terminal_text import printable
from reelmill_producer.prompts.admission import PromptCheck
from reelmill_producer.prompts.columns import asked_columns
from reelmill_producer.prompts.files import FileReport, PromptFile, prompts_of
from reelmill_producer.prompts.grids import seeds_of
from reelmill_producer.prompts.policy_options import PolicyOptions
from reelmill_producer.reuse import reuse_mode
from reelmill_producer.submission import submit_file
from reelmill_producer.web.callers import Caller
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.schemas import BatchPolicy, SubmitQuery
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


def submit(caller: Caller, batch: str, upload: Upload, query: SubmitQuery) -> dict[str, Any]:
    """Submit the rows of an upload to a batch; return what `SubmitAnswer` has.

    Raises:
        Refusal: 422: there are bad rows, which are listed.
        InvalidJob: Something that is asked for is not valid.
        JobConflict: Rows are there with other content.
        NotAllowed: The caller may not submit for this owner.
    """
    now = datetime.now(UTC)
    options = options_of(query, upload)
    mode = reuse_mode(query.reuse)
    options.batch(batch, now, mark="")
    with opened(caller, upload, query) as (prompts, report):
        options = owned(caller, batch, prompts.policy(options, batch, now))
        submitted = submit_file(caller.farm, options.batch(batch, now, mark=""), options.change(now), prompts, mode)
        return {
            "batch": batch,
            "added": submitted.added,
            "unchanged": submitted.unchanged,
            "reused": submitted.reused,
            "report": report_record(prompts, report),
        }


@contextmanager
def opened(caller: Caller, upload: Upload, query: SubmitQuery) -> Generator[tuple[PromptFile, FileReport]]:
    """Check the rows of an upload; give the file and the report. Raises as `submit`."""
    settings = caller.farm.settings
    profile = query.profile or profile_here(settings)
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
        report = prompts.check()
        if report.bad_count and not (query.skip_invalid and report.rows):
            fields = {"code": "invalid_prompt_file", "lines": wrong_lines(report, upload)}
            raise Refusal(422, wrong_text(report), fields=fields)
        yield prompts, report


def owned(caller: Caller, batch: str, options: PolicyOptions) -> PolicyOptions:
    """Return a policy with the owner that the caller's batches have.

    Raises:
        NotAllowed: They may not submit, or not for that owner, or to a batch of another one.
    """
    principal = caller.principal
    owner = principal.owner_of_new(options.owner or None)
    if caller.farm.has_batch(batch):
        view = caller.farm.batch(batch)
        if not principal.may_steer(view.owner):
            raise NotAllowed(f"the name {batch!r} is taken; submit under another batch name")
        owner = options.owner or view.owner
    return PolicyOptions(**{**options.given(), "owner": owner})


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
    """Return a report; its fields are those of `Report`."""
    notes = [printable(note) for note in prompts.reading.assumptions()]
    if isinstance(prompts.admit, PromptCheck) and (note := prompts.admit.note()):
        notes.append(note)
    return {"rows": report.rows, "duplicates": report.duplicates, "skipped": report.bad_count, "notes": notes}
