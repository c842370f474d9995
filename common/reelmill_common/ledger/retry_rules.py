"""Classes of failure: how often each is tried again, whether it counts, and whether the worker may be to blame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """What a failure of one class means for its job and for the worker.

    Attributes:
        retries: How often a job is tried again after failures of this class, whatever `max_attempts` leaves.
        counts: Whether a failure counts towards `max_attempts`.
        suspects: Whether job and worker are both under suspicion: the job then avoids that worker for a while and is
            at fault once it has failed on two, and the worker is at fault once jobs of several batches failed on it in
            a row.
        why: For people who wonder about the numbers.
    """

    retries: int
    counts: bool = True
    suspects: bool = False
    why: str


OTHERWISE = ""
"""Stands for every class that is not in the table."""

RULES: Mapping[str, RetryRule] = {
    "worker_lost": RetryRule(
        retries=3, suspects=True, why="the process or the host died; a job that did it does it again"
    ),
    "stalled": RetryRule(retries=2, suspects=True, why="no progress in a stage, so the process was killed"),
    "delivery_lost": RetryRule(retries=5, counts=False, why="rendered well and died beside another job's render"),
    "out_of_memory": RetryRule(
        retries=1, suspects=True, why="once more in a clean process; more tries find no more memory"
    ),
    "bad_output": RetryRule(
        retries=1, suspects=True, why="black or frozen frames are mostly the prompt's or the card's"
    ),
    "timed_out": RetryRule(retries=1, suspects=True, why="each try costs the whole time limit"),
    "render_failed": RetryRule(retries=2, suspects=True, why="the encoder or the disk of this host; another may do"),
    "worker_bug": RetryRule(retries=2, suspects=True, why="an unforeseen error: a driver, a kernel, our bug"),
    "store_error": RetryRule(retries=10, counts=False, why="a failing store is not the clip's fault"),
    "store_unavailable": RetryRule(retries=10, counts=False, why="as store_error"),
    "store_refused": RetryRule(retries=10, counts=False, why="as store_error"),
    "ledger_unavailable": RetryRule(retries=10, counts=False, why="a failing Redis is not the clip's fault"),
    "ledger_refused": RetryRule(retries=10, counts=False, why="as ledger_unavailable"),
    "ledger_read_only": RetryRule(retries=10, counts=False, why="as ledger_unavailable"),
    "invalid_job": RetryRule(retries=0, why="the same content is as wrong the next time"),
    "prompt_too_long": RetryRule(retries=0, why="as invalid_job"),
    "clip_exists": RetryRule(
        retries=2, counts=False, why="clips are never overwritten; the next attempt has other keys"
    ),
    "poison": RetryRule(retries=0, why="it killed the processes of two workers; a third is not risked"),
    OTHERWISE: RetryRule(retries=1000, why="only max_attempts bounds it"),
}
"""By error code. `max_attempts` stays the cap over all classes that count."""

RULES_JSON = json.dumps({code: [rule.retries, rule.counts, rule.suspects] for code, rule in RULES.items()})
"""The table as the ledger's functions get it."""

_OF_NO_ATTEMPT = {"expired": "its batch has expired", "job_conflict": "it is there with other content"}
"""Failures that no attempt was made for, and why another would not be."""


def fails_again(code: str) -> str:
    """Return why a job that failed so can only fail again as it is; empty if another try makes sense."""
    rule = RULES.get(code)
    return _OF_NO_ATTEMPT.get(code) or (rule.why if rule is not None and not rule.retries else "")
