"""Every error that Reelmill raises on purpose, with its exit status; docs/reference/errors.md is made from the classes.

An exit status is a name of sysexits.h. Status 2 is a usage error, found by the command line parser.
"""

from __future__ import annotations

from typing import ClassVar


class ReelmillError(Exception):
    """Our bug, or nothing more exact is known. Base class: `code` is stable, the message is for people.

    The message is the only constructor argument, so Celery and pickle can rebuild every error.
    """

    code: ClassVar[str] = "reelmill_error"
    exit_status: ClassVar[int] = 70
    retryable: ClassVar[bool] = False


class InvalidSettings(ReelmillError, ValueError):
    """A setting or option is missing, unknown or out of range; the message lists every wrong one."""

    code = "invalid_settings"
    exit_status = 78


class InvalidJob(ReelmillError, ValueError):
    """A job's field cannot be rendered as asked; the message names the nearest legal value."""

    code = "invalid_job"
    exit_status = 65


class InvalidPromptFile(InvalidJob):
    """A prompt file cannot be read as one; the message gives line numbers."""

    code = "invalid_prompt_file"


class PromptTooLong(InvalidJob):
    """A prompt has more tokens than the text encoder takes; the message says where it would be cut."""

    code = "prompt_too_long"


class JobConflict(ReelmillError, ValueError):
    """The same job id was submitted before with different content."""

    code = "job_conflict"
    exit_status = 65


class InvalidDocument(ReelmillError, ValueError):
    """A JSON document of a store, a tag or the ledger is damaged, or is not one of ours."""

    code = "invalid_document"
    exit_status = 65


class NotFound(ReelmillError, LookupError):
    """There is no such batch, job, clip, worker, schedule, webhook or token."""

    code = "not_found"
    exit_status = 66


class NotAllowed(ReelmillError, PermissionError):
    """The token is good, and its role or its owner does not allow what was asked."""

    code = "not_allowed"
    exit_status = 77


class StillThere(ReelmillError):
    """A worker that should be forgotten is alive; stop it first."""

    code = "still_there"
    exit_status = 75
    retryable = True


class LedgerUnavailable(ReelmillError, ConnectionError):
    """Redis does not answer. Nothing is known to be lost; try again."""

    code = "ledger_unavailable"
    exit_status = 75
    retryable = True


class LedgerRefused(ReelmillError):
    """Redis answers and refuses us: wrong password, missing rights or too old a version."""

    code = "ledger_refused"
    exit_status = 78


class LedgerReadOnly(LedgerRefused):
    """Redis takes no writes now: it is full, a replica, or cannot write to its disk. It may take them later."""

    code = "ledger_read_only"
    exit_status = 75
    retryable = True


class StoreError(ReelmillError, OSError):
    """A clip store failed in a way that is neither absence nor refusal."""

    code = "store_error"
    exit_status = 74


class StoreUnavailable(StoreError):
    """The store does not answer, or answers 5xx; the clip is kept and the put is tried again."""

    code = "store_unavailable"
    exit_status = 75
    retryable = True


class StoreRefused(StoreError):
    """The store answers and refuses us: missing bucket, wrong secret, read-only folder."""

    code = "store_refused"
    exit_status = 78


class ClipExists(StoreError):
    """A clip is already stored under that key, and clips are never overwritten."""

    code = "clip_exists"
    exit_status = 65


class NotSigned(StoreRefused):
    """A clip could not be signed. Where `REELMILL_PROVENANCE=require`, it waits on its worker until it can be."""

    code = "not_signed"


class ObjectTooLarge(StoreRefused):
    """An object is larger than any of ours under such a key, so it is not ours; it was not read."""

    code = "object_too_large"
    exit_status = 65


class RenderFailed(ReelmillError):
    """A clip could not be rendered, for a reason that no other class names."""

    code = "render_failed"
    exit_status = 69


class BadOutput(RenderFailed):
    """The frames came out black, frozen, too few or not finite."""

    code = "bad_output"
    retryable = True  # once, by another worker: only that distinguishes a bad prompt from a bad GPU


class OutOfMemory(RenderFailed):
    """The GPU had too little memory for the job under the current plan."""

    code = "out_of_memory"
    retryable = True


class RenderTimedOut(RenderFailed):
    """The render took longer than the time limit and was interrupted; the model stays loaded."""

    code = "timed_out"
    retryable = True


class AttemptLost(RenderFailed):
    """The lease of an attempt ran out: another attempt owns the job now, and this one may not publish."""

    code = "attempt_lost"
    retryable = True


class JobCancelled(ReelmillError):
    """The job was asked to stop, and it has stopped."""

    code = "job_cancelled"
    exit_status = 69


class InvalidModel(ReelmillError):
    """A model folder is incomplete, has a tensor of the wrong shape, or holds a pickle."""

    code = "invalid_model"
    exit_status = 78


class HubUnavailable(ReelmillError, ConnectionError):
    """The model hub does not answer. What has been downloaded is kept; run the same command again."""

    code = "hub_unavailable"
    exit_status = 75
    retryable = True


class NotDelivered(ReelmillError, ConnectionError):
    """A notification was not delivered: its receiver was not reached, may not be reached, or refused it."""

    code = "not_delivered"
    exit_status = 75
    retryable = True


class WorkerUnfit(ReelmillError):
    """The start-up gate failed: this worker takes no jobs until its cause is fixed."""

    code = "worker_unfit"
    exit_status = 69
