"""Every error that Reelmill raises on purpose, as one tree.

    ReelmillError                       70   our bug, or nothing more exact is known
    ├── InvalidSettings                 78   a REELMILL_* variable or option is wrong
    ├── InvalidJob (ValueError)         65   a job's field cannot be rendered as asked
    │   ├── InvalidPromptFile           65   a prompt file cannot be read as one
    │   └── PromptTooLong               65   more tokens than the text encoder takes
    ├── JobConflict                     65   the same id with different content
    ├── InvalidDocument (ValueError)    65   JSON of a store, a tag or the ledger is damaged, or not ours
    ├── NotFound (LookupError)          66   no such batch, job or clip
    ├── StillThere                      75   what should be forgotten lives (retryable)
    ├── LedgerUnavailable               75   Redis does not answer (retryable)
    ├── LedgerRefused                   78   Redis answers, but not to us: password, version
    │   └── LedgerReadOnly              75   Redis takes no writes now: full, a replica, no disk (retryable)
    ├── StoreError                      74   a clip store failed
    │   ├── StoreUnavailable            75   the store does not answer (retryable)
    │   ├── StoreRefused                78   the store answers, but not to us: bucket, key, folder rights
    │   │   └── ObjectTooLarge          65   an object is larger than ours are, and was not read
    │   └── ClipExists                  65   a clip is already stored under that key
    ├── RenderFailed                    69   a clip could not be rendered
    │   ├── BadOutput                   69   frames came out black, frozen or not finite (retryable)
    │   ├── OutOfMemory                 69   the GPU had too little memory (retryable)
    │   ├── RenderTimedOut              69   the time limit interrupted the render (retryable)
    │   └── AttemptLost                 69   the lease ran out; another attempt owns the job (retryable)
    ├── JobCancelled                    69   somebody asked for the job to stop, and it has stopped
    ├── InvalidModel                    78   a model folder is incomplete, mis-shaped or not safetensors
    ├── HubUnavailable                  75   the model hub does not answer (retryable)
    ├── NotDelivered                    75   a webhook's receiver or a mail server took no message (retryable)
    └── WorkerUnfit                     69   the start-up gate failed: this worker must not take jobs

The number is the exit status of a command that ends with the error (the names are from sysexits.h). It also is the
`exit_status` of each class. Status 2 is a usage error, found by the command line parser.
"""

from __future__ import annotations

from typing import ClassVar


class ReelmillError(Exception):
    """Base class. `code` is stable and goes to logs and JSON; the message is for people.

    The message is the only constructor argument, so Celery and pickle can rebuild every error.
    """

    code: ClassVar[str] = "reelmill_error"
    exit_status: ClassVar[int] = 70
    retryable: ClassVar[bool] = False


class InvalidSettings(ReelmillError, ValueError):
    """A setting is missing, unknown or out of range; the message lists every wrong one."""

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
    """A JSON document of a store, a tag or the ledger is damaged, or was written by somebody else."""

    code = "invalid_document"
    exit_status = 65


class NotFound(ReelmillError, LookupError):
    """No such batch, job or clip."""

    code = "not_found"
    exit_status = 66


class StillThere(ReelmillError):
    """What should be forgotten is still at work."""

    code = "still_there"
    exit_status = 75
    retryable = True


class LedgerUnavailable(ReelmillError, ConnectionError):
    """Redis does not answer. Nothing is known to be lost; try again."""

    code = "ledger_unavailable"
    exit_status = 75
    retryable = True


class LedgerRefused(ReelmillError):
    """Redis answers, but not to us: wrong password or too old a version."""

    code = "ledger_refused"
    exit_status = 78


class LedgerReadOnly(LedgerRefused):
    """Redis takes no writes now: it is full, a replica, or cannot write to its disk. It may again later."""

    code = "ledger_read_only"
    exit_status = 75
    retryable = True


class StoreError(ReelmillError, OSError):
    """A clip store failed in a way that is neither absence nor refusal."""

    code = "store_error"
    exit_status = 74


class StoreUnavailable(StoreError):
    """The store does not answer or answers 5xx; the clip is kept and the put is tried again."""

    code = "store_unavailable"
    exit_status = 75
    retryable = True


class StoreRefused(StoreError):
    """The store answers, but not to us: missing bucket, wrong secret, read-only folder."""

    code = "store_refused"
    exit_status = 78


class ClipExists(StoreError):
    """A clip is already stored under that key, and clips are never overwritten."""

    code = "clip_exists"
    exit_status = 65


class ObjectTooLarge(StoreRefused):
    """An object is larger than any of ours under such a key, so it is somebody else's; it was not read."""

    code = "object_too_large"
    exit_status = 65


class RenderFailed(ReelmillError):
    """A clip could not be rendered."""

    code = "render_failed"
    exit_status = 69


class BadOutput(RenderFailed):
    """The frames came out black, frozen, too few or not finite."""

    code = "bad_output"
    retryable = True  # once, by another worker: only that tells a bad prompt from a bad card


class OutOfMemory(RenderFailed):
    """The GPU had too little memory for the job under the current plan."""

    code = "out_of_memory"
    retryable = True


class RenderTimedOut(RenderFailed):
    """The render took longer than the time limit and was interrupted; the model stays loaded."""

    code = "timed_out"
    retryable = True


class AttemptLost(RenderFailed):
    """The lease ran out: another attempt owns the job now, and this one may not publish."""

    code = "attempt_lost"
    retryable = True


class JobCancelled(ReelmillError):
    """Somebody asked for the job to stop, and it has stopped."""

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
    """A receiver of notifications was not reached, may not be reached, or did not take the message."""

    code = "not_delivered"
    exit_status = 75
    retryable = True


class WorkerUnfit(ReelmillError):
    """The start-up gate failed: this worker must not take jobs until somebody has looked."""

    code = "worker_unfit"
    exit_status = 69
