"""Notifications of events: one JSON object `{type, timestamp, data}`, the same bytes at each attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, cast

from reelmill_common.errors import InvalidDocument, NotFound
from reelmill_common.jobs import JobState
from reelmill_common.ledger import Event, Ledger
from reelmill_common.ledger.failure_causes import causes
from reelmill_common.ledger.records import outcome_of
from reelmill_common.text.untrusted_json import read_object

FAILURES_READ = 1000
"""Most failed jobs of a batch that are read to group them; `failures_read` says how many were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message.

    Attributes:
        id: The same for every webhook and every attempt, so that receivers recognise a repetition.
        body: Its JSON.
    """

    id: str
    type: str
    body: str

    @property
    def data(self) -> Mapping[str, Any]:
        """The event's fields."""
        try:
            found: object = read_object(self.body, self.id).get("data")
        except InvalidDocument:  # its id and its type are sent all the same
            found = None
        return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def notification_of(ledger: Ledger, farm: str, event: Event) -> Notification:
    """Make the notification of an event; for a finished batch it says what became of the jobs."""
    data: dict[str, Any] = {
        "farm": farm,
        "event_id": event.event_id,
        "batch": event.batch,
        "job_id": event.job_id,
        "worker": event.worker,
        **event.fields,
    }
    if event.name == "batch.finished":
        data |= _of_batch(ledger, event.batch)
    elif event.name == "batch.paused":
        data["resume"] = f"reelmill resume {event.batch}"
    seconds = int(event.event_id.partition("-")[0]) / 1000
    return make_notification(f"msg_{farm}_{event.event_id}", event.name, seconds, data)


def make_notification(message: str, kind: str, seconds: float, data: Mapping[str, Any]) -> Notification:
    """Make a notification; `seconds` is Unix time."""
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps({"type": kind, "timestamp": stamp, "data": data}, ensure_ascii=False, separators=(",", ":"))
    return Notification(id=message, type=kind, body=body)


def _of_batch(ledger: Ledger, name: str) -> dict[str, Any]:
    try:
        view = ledger.batches.get(name)
    except NotFound:
        return {}  # removed since
    has_failed = view.counts.get(JobState.FAILED, 0)
    failed = ledger.jobs.page(name, states=[JobState.FAILED], count=FAILURES_READ) if has_failed else []
    found = causes(name, [job.error or {} for job in failed])
    return {
        "total": view.total,
        "outcome": outcome_of(view.counts),
        "counts": {state.value: view.counts.get(state, 0) for state in JobState},
        "failures": [asdict(cause) for cause in found],
        "failures_read": len(failed),
        "retry": f"reelmill retry {name}" if any(cause.retry for cause in found) else None,
        "report": view.report or None,
    }
