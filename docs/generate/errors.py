"""The reference of errors, made from the classes of `errors`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from reelmill_common.errors import ReelmillError
from reelmill_common.ledger.retry_rules import OTHERWISE, RULES

PATH = Path("docs/reference/errors.md")

_HEAD = """# Errors and exit statuses

A command that ends with an error prints `error: …` on stderr and exits with the status below; a status is a name of
`sysexits.h`. Logs, events and `--json` carry the code. *Retryable* means that the same call may succeed later: a failed
attempt at a job is queued again while the job has attempts left, and a command may be run again.
A script needs only the status: 0 done, 2 wrong usage, 65 wrong input, 66 not found, 69 failed, 70 our bug, 74 store
failure, 75 try again, 78 wrong set-up.

This page is made from `errors.py` and `ledger/retry_rules.py` of `common/reelmill_common`. An error with ↳ is a kind of
the one above it.

| error | code | exit status | retryable | meaning, and when |
| --- | --- | --- | --- | --- |
"""

_RETRIES = """
## How often a failed job is tried again

By the code of its failed attempt, within `REELMILL_MAX_ATTEMPTS`, to which only some failures count. *Suspect*: the job
avoids that worker for a while and fails for good once two workers failed on it; a worker on which jobs of several
batches fail in a row is quarantined.

| code | retries | counts | suspect | why |
| --- | --- | --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(_rows(ReelmillError, 0)) + _RETRIES + "".join(_rules())


def _rules() -> Iterator[str]:
    for code, rule in RULES.items():
        name = "any other" if code == OTHERWISE else f"`{code}`"
        yield f"| {name} | {rule.retries} | {_flag(rule.counts)} | {_flag(rule.suspects)} | {rule.why} |\n"


def _flag(value: bool) -> str:  # noqa: FBT001 - a value to show
    return "yes" if value else "no"


def _rows(kind: type[ReelmillError], depth: int) -> Iterator[str]:
    meaning = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    name = f"{'↳ ' * depth}`{kind.__name__}`"
    yield f"| {name} | `{kind.code}` | {kind.exit_status} | {_flag(kind.retryable)} | {meaning} |\n"
    for child in kind.__subclasses__():
        if child.__module__ == ReelmillError.__module__:
            yield from _rows(child, depth + 1)
