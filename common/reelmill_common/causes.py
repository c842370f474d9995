"""Causes: the failed jobs of a batch, grouped by error code, each with the command that queues them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"
"""Stands for the code of a failure that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Jobs that failed for one reason.

    Attributes:
        message: Of one of them.
        retry: The command that queues them again.
    """

    code: str
    count: int
    message: str
    retry: str


def causes(batch: str, errors: Sequence[Mapping[str, str]]) -> list[Cause]:
    """Group the errors of a batch's failed jobs by code, the most frequent first; the message is the first one's."""
    messages = {error.get("code", UNKNOWN): error.get("message", "") for error in reversed(errors)}
    return [
        Cause(code=code, count=count, message=messages[code], retry=f"reelmill retry {batch} --code {code}")
        for code, count in Counter(error.get("code", UNKNOWN) for error in errors).most_common()
    ]
