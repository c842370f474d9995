"""Records: batches, jobs, clips, workers and events as plain data with stable keys, as `--json` prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, cast

from reelmill_common.jobs import JobState
from reelmill_common.ledger import Account, BatchView, Event, JobView, OwnerView, WorkerView
from reelmill_common.ledger.records import outcome_of
from reelmill_common.notify.webhook_store import WebhookView
from reelmill_common.prices import Prices
from reelmill_common.schedules import ScheduleView
from reelmill_producer.clips import Clip

_PLAIN = {str, int, float, bool}

IN_HAND = (JobState.RUNNING, JobState.CANCEL_REQUESTED)
"""States of a job that a worker has."""


def outcome(view: BatchView) -> str:
    """Return the outcome of a batch in a word; empty while it is open."""
    return outcome_of(view.counts)


def record_of(item: object, names: str) -> dict[str, Any]:
    """Return some attributes of an object as plain data, in their order.

    Args:
        item: The object.
        names: Names of attributes, parted by spaces; `key=name` gives one another key, and a name may have dots.
    """
    return {key: _plain(attribute(item)) for key, attribute in _attributes(names)}


@cache
def _attributes(names: str) -> list[tuple[str, Callable[[object], Any]]]:
    pairs = ((word.partition("=")[0], word.rpartition("=")[2]) for word in names.split())
    return [(key, attrgetter(name)) for key, name in pairs]


def _plain(value: Any) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def batch_record(view: BatchView) -> dict[str, Any]:
    """Return a batch as plain data."""
    return {
        **record_of(view, "batch=name state"),
        "outcome": outcome(view),
        **record_of(view, "priority weight max_in_flight owner window max_failures"),
        "start_after": view.start_after or None,
        "expires_at": view.expires_at or None,
        "finish_by": view.finish_by or None,
        **record_of(view, "after after_any worker_class why_paused waits_for total remaining"),
        "counts": {state.value: view.counts.get(state, 0) for state in JobState},
        **record_of(view, "created_at finished_at"),
    }


def account_record(account: Account, prices: Prices) -> dict[str, Any]:
    """Return an account as plain data. `cost` includes the waste; what is not known is null, never 0."""
    energies = [joules for joules in (account.energy_j, account.wasted_energy_j) if joules is not None]
    cost = prices.cost(account.gpu_s + account.wasted_gpu_s, sum(energies) if energies else None)
    wasted = prices.cost(account.wasted_gpu_s, account.wasted_energy_j)
    return {
        **asdict(account),
        "cost": None if cost is None else round(cost, 4),
        "wasted_cost": None if wasted is None else round(wasted, 4),
        "currency": prices.currency,
    }


def job_record(view: JobView, clip: Clip | None = None) -> dict[str, Any]:
    """Return a job as plain data; with its clip if it has one."""
    return {
        **record_of(view, "job_id batch row state stage attempts priority worker error spec metadata"),
        "clip": None if clip is None else _file_record(clip),
        **record_of(view, "choice submitted_at started_at finished_at"),
    }


def clip_record(clip: Clip) -> dict[str, Any]:
    """Return a clip as plain data."""
    return {**record_of(clip, "job_id batch row spec metadata choice"), **_file_record(clip)}


def _file_record(clip: Clip) -> dict[str, Any]:
    names = "key url sha256 size_bytes latents_sha256 seconds gpu_s energy_j"
    return {**record_of(clip, names), "reused_from": clip.reused_from or None}


def worker_record(view: WorkerView) -> dict[str, Any]:
    """Return a worker as plain data."""
    return {
        **record_of(view, "worker=name lane state reason jobs"),
        "seen_s": round(view.seen_s, 1),
        "info": view.info.record(),
    }


def schedule_record(view: ScheduleView) -> dict[str, Any]:
    """Return a schedule as plain data."""
    return record_of(
        view,
        "schedule=schedule.name cron=schedule.cron.expression tz=schedule.cron.zone.key catch_up=schedule.catch_up "
        "policy=schedule.policy jobs paused created_at next_at last_at last_batch error",
    )


def owner_record(view: OwnerView) -> dict[str, Any]:
    """Return an owner as plain data."""
    return record_of(view, "owner=name weight max_in_flight in_flight")


def webhook_record(view: WebhookView) -> dict[str, Any]:
    """Return a webhook as plain data, without its secrets."""
    return {
        **record_of(view.webhook, "webhook=id kind target=place events"),
        "headers": [name for name, _ in view.webhook.headers],
        "created_at": view.created_at,
        "failing_since": view.failing_since or None,
        **record_of(view, "disabled waiting dropped"),
    }


def event_record(event: Event) -> dict[str, Any]:
    """Return an event as plain data."""
    return {**record_of(event, "event_id event=name batch job_id worker"), **event.fields}


def target_record(view: BatchView | JobView | WorkerView) -> dict[str, Any]:
    """Return a batch, a job or a worker as plain data."""
    if isinstance(view, WorkerView):
        return worker_record(view)
    return job_record(view) if isinstance(view, JobView) else batch_record(view)
