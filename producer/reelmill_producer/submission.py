"""Submission: a checked prompt file becomes a batch, or is added to one."""

from __future__ import annotations

from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch
from reelmill_common.ledger import BatchView, PolicyChange, Submitted
from reelmill_producer.client import Reelmill
from reelmill_producer.prompts.files import PromptFile
from reelmill_producer.reuse import ReuseMode


def submit_file(
    farm: Reelmill, policy: Batch, change: PolicyChange, prompts: PromptFile, reuse: ReuseMode | None = None
) -> Submitted:
    """Submit the good rows of a prompt file.

    Args:
        farm: The farm.
        policy: The batch; one that is there keeps its policy but for the change.
        change: What changes of a batch that is there.
        prompts: The file, which was checked.
        reuse: As in `Reelmill.submit_jobs`.

    Raises:
        InvalidJob: The batch is there with another owner or worker class.
        JobConflict: Rows are there with other content; nothing was submitted.
    """
    name = policy.name
    if farm.has_batch(name):
        view = farm.batch(name)
        _refuse_owner(view, policy.owner)
        _refuse_class(view, policy.worker_class)
    submitted = farm.submit_jobs(policy, prompts.jobs(name), change=change, reuse=reuse)
    if policy.window and farm.batch(name).window != policy.window:
        farm.set_window(name, policy.window)
    return submitted


def _refuse_owner(view: BatchView, owner: str) -> None:
    if owner and owner != view.owner:
        raise InvalidJob(
            f"batch {view.name!r} is there and has owner {view.owner!r}, not {owner!r}, which cannot be changed; "
            "submit under another batch name, or leave the owner out"
        )


def _refuse_class(view: BatchView, worker_class: str) -> None:
    if worker_class and worker_class != view.worker_class:
        raise InvalidJob(
            f"batch {view.name!r} is there and is for {view.worker_class or 'any'} worker class, not {worker_class!r}, "
            "which cannot be changed; submit under another batch name, or leave the class out"
        )
