"""Names that producers and workers must spell alike: the task, its queues, and its arguments."""

from __future__ import annotations

TASK_RENDER = "reelmill.render"
"""The one Celery task. Its keyword arguments are `job_id`, `generation` and `label` (a short text for Flower)."""

LABEL_CHARS = 80
"""Longest label: Flower keeps the arguments of every task in memory."""


def queue_name(farm: str, lane: str) -> str:
    """Return the Celery queue of a lane (a model profile) on a farm."""
    return f"reelmill.{farm}.{lane}"
