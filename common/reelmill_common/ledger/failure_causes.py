"""Causes: the failed jobs of a batch, grouped by error code, each with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reelmill_common.ledger.retry_rules import fails_again

UNKNOWN = "unknown"
"""Stands for the code of a failure that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCause:
    """Jobs that failed for one reason.

    Attributes:
        message: The message of one of them.
        retry: The command that queues them again; empty where they can only fail again.
        advice: What to do about them instead; empty where they may be tried again.
    """

    code: str
    count: int
    message: str
    retry: str
    advice: str = ""


def causes(batch: str, errors: Sequence[Mapping[str, str]]) -> list[FailureCause]:
    """Group the errors of a batch's failed jobs by code, the most frequent first; the message is the first one's."""
    messages = {error.get("code", UNKNOWN): error.get("message", "") for error in reversed(errors)}
    return [
        _cause(batch, code, count, messages[code])
        for code, count in Counter(error.get("code", UNKNOWN) for error in errors).most_common()
    ]


def _cause(batch: str, code: str, count: int, message: str) -> FailureCause:
    why = fails_again(code)
    advice = f"not worth another try as it is: {why}; submit it anew, changed" if why else ""
    retry = "" if why else f"reelmill retry {batch} --code {code}"
    return FailureCause(code=code, count=count, message=message, retry=retry, advice=advice)
