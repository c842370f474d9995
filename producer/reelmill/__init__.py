"""The SDK: submit prompts to a farm, follow and steer them, and read where the clips are.

    from reelmill import Reelmill

    with Reelmill.from_env() as farm:
        farm.submit_many(["a fox in the snow", "a lighthouse at dusk"], batch="night-7")

What `__all__` names is neither renamed nor removed without a line in CHANGELOG.md. The import brings no torch, and
neither Celery nor boto3 before they are needed.
"""

from reelmill_common import __version__
from reelmill_common.errors import (
    BadOutput,
    ClipExists,
    InvalidJob,
    InvalidPromptFile,
    InvalidSettings,
    JobCancelled,
    JobConflict,
    LedgerReadOnly,
    LedgerRefused,
    LedgerUnavailable,
    NotFound,
    PromptTooLong,
    ReelmillError,
    RenderFailed,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WorkerUnfit,
)
from reelmill_common.jobs import Batch, BatchState, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import (
    BatchView,
    ClipChoice,
    ClipMark,
    Event,
    JobView,
    PolicyChange,
    Submitted,
    WorkerState,
    WorkerView,
)
from reelmill_common.settings import Settings
from reelmill_producer.cells.farms import Cells
from reelmill_producer.client import Reelmill
from reelmill_producer.clips import Clip
from reelmill_producer.control import CancelReport
from reelmill_producer.prompts.files import PromptFile, open_prompt_file

__all__ = [
    "BadOutput",
    "Batch",
    "BatchState",
    "BatchView",
    "CancelReport",
    "Cells",
    "Clip",
    "ClipChoice",
    "ClipExists",
    "ClipMark",
    "Event",
    "InvalidJob",
    "InvalidPromptFile",
    "InvalidSettings",
    "JobCancelled",
    "JobConflict",
    "JobState",
    "JobView",
    "LedgerReadOnly",
    "LedgerRefused",
    "LedgerUnavailable",
    "NotFound",
    "PolicyChange",
    "PromptFile",
    "PromptTooLong",
    "Reelmill",
    "ReelmillError",
    "RenderFailed",
    "RenderJob",
    "RenderSpec",
    "Settings",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "Submitted",
    "WorkerState",
    "WorkerUnfit",
    "WorkerView",
    "__version__",
    "open_prompt_file",
]
