"""Names that producers and workers must spell alike: the task, its arguments, the lanes and their queues."""

from __future__ import annotations

TASK_RENDER = "reelmill.render"
"""The one Celery task. Its keyword arguments are `job_id`, `generation` and `label` (a short text for Flower)."""

PROMPT_CHARS = 80
"""Most characters of a prompt in a label: Flower keeps the arguments of every task in memory."""
FARM_MARK = "reelmill-farm.json"
"""Object of a clip store that names the farm it belongs to (`farm_mark`)."""
RECORD_FOLDER = "record"
"""Folder of a clip store for copies of farms' records (`record_copy`)."""
STORE_FOLDERS = frozenset({"logs", "reports", "embeddings", "fingerprints", RECORD_FOLDER, FARM_MARK})
"""First parts of keys of objects that are not clips: a new batch may not have these names; old ones may go on."""
LABEL_SEPARATOR = " · "
"""Between a label's batch, seed and prompt."""
LABEL_CHARS = 64 + len("seed ") + 19 + PROMPT_CHARS + 2 * len(LABEL_SEPARATOR)
"""Longest label: with the longest name of a batch and the largest seed."""


def queue_name(farm: str, lane: str) -> str:
    """Return the Celery queue of a lane on a farm."""
    return f"reelmill.{farm}.{lane}"


def lane_name(profile: str, worker_class: str = "") -> str:
    """Return the lane of a profile's jobs, or of those that ask for a class of worker."""
    return f"{profile}@{worker_class}" if worker_class else profile


def profile_of(lane: str) -> str:
    """Return the profile of a lane."""
    return lane.partition("@")[0]


def class_of(lane: str) -> str:
    """Return the class of worker that a lane asks for; empty if any worker of its profile will do."""
    return lane.partition("@")[2]
