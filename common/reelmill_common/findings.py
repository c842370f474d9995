"""Findings: what `reelmill doctor` found, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from reelmill_common.errors import ReelmillError


class Severity(StrEnum):
    """How bad it is: `warn` works today, `fail` does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        name: Stable key of the check, for example `redis.aof`.
        found: The facts.
        advice: What to do; empty where there is nothing to do, or `found` says it.
    """

    name: str
    level: Severity
    found: str
    advice: str = ""

    @classmethod
    def from_error(cls, name: str, err: ReelmillError) -> Finding:
        """Return an error as a finding. Our messages end in what to do, after a semicolon."""
        found, _, advice = str(err).rpartition("; ")
        return cls(name=name, level=Severity.FAIL, found=found or advice, advice=advice if found else "")


def worst(findings: Iterable[Finding]) -> Severity:
    """Return the worst level, `ok` if there is nothing."""
    return max((finding.level for finding in findings), key=list(Severity).index, default=Severity.OK)
