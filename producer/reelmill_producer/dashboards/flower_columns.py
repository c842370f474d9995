"""What Flower's pages say of a render: our columns, filled from the message, Celery's events and the ledger.

Celery knows nothing of stages, and a worker's class is none of its words, so these two are asked of the ledger when a
page is made. If it does not answer they stay empty: the page comes all the same.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from reelmill_common.contract import LABEL_SEPARATOR, TASK_RENDER
from reelmill_common.errors import LedgerRefused, LedgerUnavailable, NotFound
from reelmill_common.ledger import Ledger, WorkerInfo

Task = Any
"""A `celery.events.state.Task`: typed as what it is, it could be given no columns."""

COLUMNS = {"batch": "Batch", "seed": "Seed", "prompt": "Prompt", "stage": "Stage", "worker_class": "Worker class"}
"""Slug and heading of each column that is ours."""
SHOWN = "received,batch,seed,prompt,state,stage,worker,worker_class,runtime,uuid"
"""What the page of tasks shows from left to right. It is sorted by `received` unless somebody chooses otherwise."""

WORKERS_EVERY_S = 5.0
"""Seconds for which an answer about the workers is good."""
MOST_RESULT_CHARS = 4096
"""Of an event's result that is read: Celery cuts its own at 1,024, and anybody on the broker may send others."""
SULK_S = 10.0
"""Seconds for which the ledger is not asked again when it did not answer: Flower makes its pages one at a time."""


def format_task(task: Task) -> Task:
    """Fill in the columns that the message has, and word its arguments for people. Flower hands us a copy."""
    for name in COLUMNS:
        setattr(task, name, "")
    # What a task shows is what stands here: the table leaves the rest out, and warns of a column without a value.
    task._fields = type(task)._fields + tuple(COLUMNS)
    if task.name != TASK_RENDER:
        return task
    label = str(task.kwargs or "")
    parts = label.split(LABEL_SEPARATOR, 2)
    if len(parts) < 3 or not parts[1].startswith("seed "):
        return task  # another version's arguments: shown as they came
    task.batch, task.seed, task.prompt = parts[0], parts[1].removeprefix("seed "), parts[2]
    job_id, _, generation = str(task.uuid).partition(".")
    task.kwargs = f"{label} · job {job_id} · generation {generation}"
    task.stage = str(_parsed(task.result).get("outcome", ""))
    return task


@dataclass(slots=True, kw_only=True)
class LedgerColumns:
    """What the ledger knows of the renders on a page and of who does them."""

    ledger: Ledger
    _classes: Mapping[str, str] = field(default_factory=dict[str, str])
    _asked: float = float("-inf")
    _sulks_until: float = float("-inf")

    def after(self, wording: Callable[[Task], Task | None]) -> Callable[[Task], Task | None]:
        """Return a formatter that fills in stage and class where another one has left them empty."""

        def formatted(task: Task) -> Task | None:
            found = wording(task)
            if found is not None and found.name == TASK_RENDER and hasattr(found, "stage"):
                self._fill(found)
            return found

        return formatted

    def _fill(self, task: Task) -> None:
        if time.monotonic() < self._sulks_until:
            return
        try:
            if task.state == "STARTED" and not task.stage:
                with suppress(NotFound):
                    task.stage = self.ledger.jobs.get(str(task.uuid).partition(".")[0]).stage
            if task.worker is not None and not task.worker_class:
                task.worker_class = self._class_of(task.worker.hostname)
        except (LedgerRefused, LedgerUnavailable):
            self._sulks_until = time.monotonic() + SULK_S

    def _class_of(self, worker: str) -> str:
        if time.monotonic() - self._asked > WORKERS_EVERY_S:
            self._classes = {view.name: worker_class(view.info) for view in self.ledger.workers.all()}
            self._asked = time.monotonic()
        return self._classes.get(worker, "")


def worker_class(info: WorkerInfo) -> str:
    """Return what decides a worker's bits in a few words: its card and arithmetic, or the renderer without a model."""
    if info.plan:
        return f"{info.plan.get('gpu', '')} {info.plan.get('linears', '')}".strip()
    return info.renderer


def _parsed(text: object) -> dict[Any, Any]:
    """Read what Celery's events show of a dict; anything else, or a cut one, is none."""
    with suppress(SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        value = ast.literal_eval(text) if isinstance(text, str) and len(text) <= MOST_RESULT_CHARS else None
        if isinstance(value, dict):
            return value
    return {}
