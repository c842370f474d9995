"""History: what happened to a job, a batch or a worker, by the ledger's events and its attempts' logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from reelmill_common.archive import newest_archive
from reelmill_common.errors import InvalidDocument, InvalidJob, NotFound, ObjectTooLarge
from reelmill_common.job_fields.limits import LAST_TIME_S
from reelmill_common.jobs import job_id
from reelmill_common.ledger import Event, JobView, Ledger
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import LOGS, log_key, log_prefix
from reelmill_common.text.suggestions import did_you_mean
from reelmill_common.text.untrusted_json import read_object
from reelmill_producer.control import is_job_id

PAGE = 5000
"""Events that are read at once; the ledger keeps about 50,000."""
MOST_LOGS = 200
"""Most attempts whose logs are read for one history."""
MOST_LOG_BYTES = 40_000
"""Most bytes of one attempt's log; workers keep the last 32,000."""
LEVELS = ("debug", "info", "warning", "error", "critical")
LOOKERS = 8
_LOG = re.compile(rf"{LOGS}/([^/]+)/(.+)-[0-9a-f]{{8}}\.a([0-9]{{1,6}})\.jsonl")
_OWN = ("event", "timestamp", "job_id", "batch", "row", "attempt", "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One event, or one line of an attempt's log.

    Attributes:
        at: Unix seconds, on Redis' clock for an event, on the worker's for a line of its log.
        source: Where it was read. A worker's log is an object of the store and thus untrusted: batch, row, job and
            attempt are those of the object's key, whatever the line says.
        name: Name of the event, as `job.claimed`, or of what was logged.
        attempt: Number of the attempt that it belongs to; 0 if it belongs to none.
        level: Level of a line of a log; empty for an event.
        fields: The rest.
    """

    at: float
    source: Literal["ledger", "worker"]
    name: str
    batch: str = ""
    row: str = ""
    job_id: str = ""
    attempt: int = 0
    worker: str = ""
    level: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened, as far as it is known.

    Attributes:
        lines: In the order of time.
        left_out: Number of logs that were not read, since there are too many.
        unreadable: Keys of objects that lie where logs do, but hold something else.
    """

    lines: Sequence[HistoryLine]
    left_out: int = 0
    unreadable: Sequence[str] = ()


def history(ledger: Ledger, target: str) -> list[HistoryLine]:
    """Return the events about a job, a batch or a worker that the ledger still has.

    Raises:
        NotFound: There is no such job, batch or worker, and no event of one.
    """
    if is_job_id(target):
        job = ledger.jobs.get(target)
        return list(_lines(ledger, (event for event in _events(ledger, job.submitted_at) if event.job_id == target)))
    if "@" in target:  # the names of batches have none, those of Celery's nodes do
        lines = list(_lines(ledger, _of_worker(_events(ledger), target)))
        known = [view.name for view in ledger.workers.all()]
        if not lines and target not in known:
            asked = did_you_mean(target, known)
            raise NotFound(f"no worker {target[:80]!r}; {asked}`reelmill status` lists the workers")
        return lines
    view = ledger.batches.get(target)
    return list(_lines(ledger, (event for event in _events(ledger, view.created_at) if event.batch == target)))


def with_logs(ledger: Ledger, store: ClipStore, target: str, lines: Sequence[HistoryLine]) -> History:
    """Add the logs of the attempts, where they were kept.

    Raises:
        StoreError: The store cannot be asked.
    """
    keys = list(dict.fromkeys(_log_keys(ledger, store, target, lines)))
    workers = {(line.job_id, line.attempt): line.worker for line in lines if line.name == "job.claimed"}
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="logs") as lookers:
        logs = list(lookers.map(lambda key: _read(store, key, workers), keys[:MOST_LOGS]))
    ordered = sorted([*lines, *(line for log in logs for line in log.lines)], key=lambda line: line.at)
    unreadable = [key for log in logs for key in log.unreadable]
    return History(lines=ordered, left_out=max(0, len(keys) - MOST_LOGS), unreadable=unreadable)


def forgotten(ledger: Ledger, store: ClipStore, batch: str) -> History:
    """Return what is left of a batch that the ledger no longer has: its newest events, and its logs in the store.

    Raises:
        NotFound: Nothing is left; the message says where else to look.
        InvalidJob: It is not a valid name of a batch.
        StoreError: The store cannot be asked.
    """
    prefix = log_prefix(batch)
    lines = list(_lines(ledger, (event for event in _events(ledger) if event.batch == batch)))
    found = with_logs(ledger, store, batch, lines)
    if found.lines:
        return found
    try:
        newest_archive(store, batch)
    except NotFound as err:
        raise NotFound(
            f"no batch {batch!r} in the ledger, and neither logs ({prefix}) nor an archive of one in the store; "
            f"{did_you_mean(batch, (view.name for view in ledger.batches.all()))}"
            "`reelmill status` lists the batches"
        ) from err
    raise NotFound(
        f"batch {batch!r} is pruned, and the store has no logs of it ({prefix}): REELMILL_KEEP_LOGS "
        f"says which logs workers keep; `reelmill export {batch}` prints from its archive what became of each job"
    )


def _events(ledger: Ledger, since: float | None = None) -> Iterator[Event]:
    after = f"{max(0, int((since or 0.0) * 1000) - 1)}-0"  # stream ids begin with Redis' clock in ms
    while events := ledger.events.read(after=after, count=PAGE):
        yield from events
        after = events[-1].event_id


def _of_worker(events: Iterable[Event], worker: str) -> Iterator[Event]:
    """Yield a worker's own events, and those of the jobs that it had, until another worker claims them."""
    had: set[str] = set()
    for event in events:
        if event.name == "job.claimed":
            (had.add if event.worker == worker else had.discard)(event.job_id)
        if event.worker == worker or (event.job_id in had and event.name.startswith("job.")):
            yield event


def _lines(ledger: Ledger, events: Iterable[Event]) -> Iterator[HistoryLine]:
    found = list(events)
    rows = _rows(ledger, [event.job_id for event in found])
    attempts: dict[str, int] = {}
    for event in found:
        if event.name == "job.claimed":
            attempts[event.job_id] = int(event.fields.get("attempt", 0))
        yield HistoryLine(
            at=int(event.event_id.partition("-")[0]) / 1000,
            source="ledger",
            name=event.name,
            batch=event.batch,
            row=rows.get(event.job_id, ""),
            job_id=event.job_id,
            attempt=0 if event.name == "job.dispatched" else attempts.get(event.job_id, 0),
            worker=event.worker,
            fields=event.fields,
        )


def _rows(ledger: Ledger, job_ids: Iterable[str]) -> dict[str, str]:
    jobs: list[JobView] = ledger.jobs.find([job_id for job_id in dict.fromkeys(job_ids) if job_id])
    return {job.job_id: job.row for job in jobs}


def _log_keys(ledger: Ledger, store: ClipStore, target: str, lines: Sequence[HistoryLine]) -> Iterator[str]:
    if "@" in target:
        for line in lines:
            if line.name == "job.claimed" and line.row:
                yield log_key(line.batch, line.row, attempt=line.attempt)
        return
    if is_job_id(target):
        job = ledger.jobs.get(target)
        prefix = log_prefix(job.batch, job.row)
    else:
        prefix = log_prefix(target)
    yield from (item.key for item in store.list(prefix))


def _read(store: ClipStore, key: str, workers: Mapping[tuple[str, int], str]) -> History:
    """Return the lines of an attempt's log, which is untrusted."""
    of_attempt = _attempt_of(key)
    if of_attempt is None:
        return History(lines=[], unreadable=[key])
    worker = workers.get((of_attempt.job_id, of_attempt.attempt), "")
    lines: list[HistoryLine] = []
    unreadable: list[str] = []
    try:
        content = store.get(key, most_bytes=MOST_LOG_BYTES)
    except NotFound:
        content = b""
    except ObjectTooLarge:
        return History(lines=[], unreadable=[key])
    for text in filter(None, content.split(b"\n")):
        try:
            lines.append(_logged(read_object(text, key), replace(of_attempt, worker=worker)))
        except InvalidDocument:
            unreadable = [key]
    return History(lines=lines, unreadable=unreadable)


def _attempt_of(key: str) -> HistoryLine | None:
    """Return an empty line of the attempt that a log's key names; None if it is not the key of a log."""
    found = _LOG.fullmatch(key)
    if found is None:
        return None
    batch, row, attempt = found[1], found[2], int(found[3])
    try:
        ours = log_key(batch, row, attempt=attempt) == key
    except InvalidJob:
        ours = False
    blank = HistoryLine(
        at=0.0, source="worker", name="", batch=batch, row=row, job_id=job_id(batch, row), attempt=attempt
    )
    return blank if ours else None


def _logged(record: Mapping[str, Any], of_attempt: HistoryLine) -> HistoryLine:
    level = record.get("level")
    return replace(
        of_attempt,
        at=_seconds(str(record.get("timestamp", ""))),
        name=str(record.get("event", "")),
        level=str(level) if level in LEVELS else "unknown",
        fields={name: value for name, value in record.items() if name not in _OWN},
    )


def _seconds(timestamp: str) -> float:
    try:
        return min(max(0.0, datetime.fromisoformat(timestamp).timestamp()), LAST_TIME_S)
    except (ValueError, OverflowError):
        return 0.0
