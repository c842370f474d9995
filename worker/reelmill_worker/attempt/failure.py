"""Ends an attempt that made no clip: the one place that reports it to the ledger and the log."""

from __future__ import annotations

import structlog

from reelmill_common.errors import AttemptLost, JobCancelled, OutOfMemory, ReelmillError
from reelmill_common.jobs import JobState
from reelmill_common.ledger.base import MESSAGE_CHARS
from reelmill_common.ledger.records import NOTHING, Spent
from reelmill_worker.attempt.lease import Lease, Leases

log = structlog.get_logger(__name__)


def end_attempt(
    leases: Leases, lease: Lease, error: BaseException, *, retryable: bool = False, spent: Spent = NOTHING
) -> str:
    """Report why an attempt made no clip; return the outcome in one word.

    A cancel that was asked for is confirmed; a lost lease is only logged; everything else is a failed attempt, tried
    again where another try can help: where the error says so, or the caller knows it. What it `spent` was wasted.

    Raises:
        LedgerUnavailable: The process is ending and the ledger does not answer; the lease will run out.
    """
    job_id, token = lease.claimed.job_id, lease.claimed.token
    leases.drop(lease)
    if isinstance(error, JobCancelled):
        leases.insist(lambda: leases.ledger.attempts.cancelled(job_id, token, spent=spent))
        leases.counters.ended("cancelled")
        log.info("clip.cancelled")
        leases.logs.end(lease.claimed, failed=False)
        return "cancelled"
    if isinstance(error, AttemptLost):
        leases.counters.ended("lost")
        log.warning("clip.lost", error=str(error))
        leases.logs.end(lease.claimed, failed=False)
        return "lost"
    code, message, worth_it = _classify(error)
    again = worth_it or retryable
    state = leases.insist(
        lambda: leases.ledger.attempts.fail(job_id, token, code, message, retryable=again, spent=spent)
    )
    leases.counters.ended("retried" if state is JobState.QUEUED else "failed" if state else "lost", code)
    known = isinstance(error, ReelmillError)
    log.error("clip.failed", code=code, error=message, state=state, exc_info=None if known else error)
    leases.logs.end(lease.claimed, failed=True)
    return code


def _classify(error: BaseException) -> tuple[str, str, bool]:
    if isinstance(error, ReelmillError):
        return error.code, str(error)[:MESSAGE_CHARS], error.retryable
    message = f"{type(error).__name__}: {error}"[:MESSAGE_CHARS]
    if is_out_of_memory(error):
        return OutOfMemory.code, message, True
    # As far as we know this is not the job's fault: another worker may succeed, and the ledger limits the attempts.
    return "worker_bug", message, True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the host or the GPU had too little memory. Torch may not be loaded, so its class is known by name."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
