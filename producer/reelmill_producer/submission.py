"""Submission: a checked prompt file becomes a batch, is added to one, or becomes a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import Batch
from reelmill_common.ledger import BatchView, PolicyChange, Submitted
from reelmill_common.schedules import TIME_FIELDS, Schedule, ScheduleView, policy_of, relative_time
from reelmill_producer.client import Reelmill
from reelmill_producer.prompts.files import PromptFile
from reelmill_producer.prompts.policy_options import NONE, PolicyOptions
from reelmill_producer.reuse import ReuseMode

_TIME_KEYS = ("start-after", "expires", "finish-by")
"""The fields `TIME_FIELDS`, as the head of a file names them."""


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


def add_schedule(
    farm: Reelmill, new: Schedule, prompts: PromptFile, asked: PolicyOptions, *, replace: bool = False
) -> ScheduleView:
    """Add a schedule that submits the good rows of a prompt file again and again.

    Args:
        farm: The farm.
        new: The schedule, as yet without a policy.
        prompts: The file, which was checked.
        asked: The policy that is asked for; the file's head completes it.
        replace: Whether one of that name is replaced.

    Raises:
        InvalidPromptFile: A run's batch cannot have this policy.
        JobConflict: There is one of that name.
    """
    policy = _schedule_policy(prompts, asked, new)
    rows = ((job.row, job.spec, job.metadata) for job in prompts.jobs("any"))
    return farm.ledger.schedules.add(changed(new, policy=policy), rows, replace=replace)


def _schedule_policy(prompts: PromptFile, asked: PolicyOptions, new: Schedule) -> Mapping[str, Any]:
    """Return the policy of a schedule's batches: that of the options, and of the file's head where they say nothing.

    Raises:
        InvalidPromptFile: A run's batch cannot have this policy.
    """
    now = datetime.now(new.cron.zone)
    options = asked.over(prompts.head.options) if prompts.head else asked
    try:
        policy = policy_of(changed(options, start_after="", expires="", finish_by="").batch("any", now))
        texts = (options.start_after, options.expires, options.finish_by)
        for field, key, text in zip(TIME_FIELDS, _TIME_KEYS, texts, strict=True):
            if text not in ("", NONE):
                policy[field] = relative_time(key, text, new.cron.zone.key)
        changed(new, policy=policy).batch(new.cron.next_after(now.astimezone(UTC)))
    except InvalidJob as err:
        line = prompts.head.line if prompts.head else 1
        raise InvalidPromptFile(f"{prompts.name}: line {line}: batch: {err}; nothing was scheduled") from err
    return policy


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
