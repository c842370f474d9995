"""The sentences about what keeps work waiting: its start, its lane's workers, their store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from reelmill_common.calendar.windows import Windows
from reelmill_common.contract import class_of, profile_of
from reelmill_common.ledger import Wait, WorkerState, WorkerView


def time_text(seconds: float, window: str = "") -> str:
    """Return a time for people, in the zone of a window, or else of this machine."""
    zone = Windows.parse(window).zone if window else None
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def wait_text(wait: Wait, window: str = "") -> str:
    """Return what a batch does instead of running, to follow its name; times are in its window's zone if it has one."""
    if wait.kind == "window":
        return "waits for its window"
    if wait.kind == "start":
        return f"starts after {time_text(wait.until, window)}"
    return f"waits for batch {wait.batch}" + (", which did not end as it should" if wait.stuck else "")


def lane_text(lane: str, workers: Collection[WorkerView], coming: str = "") -> str:
    """Return why no worker of a lane takes a job, and what to do about it; empty if one is ready.

    Args:
        lane: The lane of the job.
        workers: All workers of the farm.
        coming: A profile whose worker is being started, though it has not registered yet.
    """
    serving = [worker for worker in workers if lane in worker.lanes]
    whose = f"class {class_of(lane)}" if class_of(lane) else f"lane {lane}"
    states = {worker.state for worker in serving}
    if WorkerState.READY in states:
        return ""
    if WorkerState.STARTING in states or (lane == coming and not states):
        return f"a worker for {whose} is starting"
    if stopped := _stopped_text(whose, serving):
        return stopped
    if WorkerState.QUARANTINED in states:
        unfit = [worker for worker in serving if worker.state is WorkerState.QUARANTINED]
        reasons = sorted({worker.reason for worker in unfit})
        forgive = " ".join(f"`reelmill forgive {worker.name}`" for worker in unfit[:1] if worker.may_return)
        advice = f"{forgive} lets it try again now" if forgive else "start the worker again"
        return f"no worker is ready for {whose}; quarantined: {'; '.join(reasons)}. Fix that; {advice}"
    if class_of(lane):
        return (
            f"no worker of {whose} is ready; a worker has classes by its GPU, and by REELMILL_WORKER_LABELS"
            f"{_known_classes(lane, workers)}"
        )
    return f"no worker is ready for lane {lane}; start one with `reelmill worker --profile {lane}`"


def store_error(workers: Collection[WorkerView]) -> str:
    """Return why none of some workers can store clips, as one of them says; empty if one can, or there is none."""
    errors = [worker.trouble.removeprefix("store: ") for worker in workers if worker.trouble.startswith("store: ")]
    return errors[0] if errors and len(errors) == len(workers) else ""


def _stopped_text(whose: str, serving: list[WorkerView]) -> str:
    if any(worker.state is WorkerState.RESTING for worker in serving):
        return f"the workers of {whose} rest outside of their hours (REELMILL_WORKER_WINDOW)"
    paused = next((worker.name for worker in serving if worker.state is WorkerState.PAUSED), "")
    return f"the workers of {whose} are paused; `reelmill resume {paused}` lets it take jobs" if paused else ""


def _known_classes(lane: str, workers: Collection[WorkerView]) -> str:
    lanes = {other for worker in workers for other in worker.lanes if profile_of(other) == profile_of(lane)}
    classes = sorted(class_of(other) for other in lanes if class_of(other))
    return f" (there are: {', '.join(classes)})" if classes else ""
