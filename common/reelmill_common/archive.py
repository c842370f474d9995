"""Archives: the ledger's record of a batch that has ended, as one object of the clip store, readable without a ledger.

`{batch}/archive-{end}.jsonl.gz` has one JSON object per line: first the batch (`"kind": "batch"`), then each job
(`"kind": "job"`) in the order of submission.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from reelmill_common.errors import InvalidDocument, InvalidJob, NotFound
from reelmill_common.jobs import BatchState, check_name
from reelmill_common.ledger import BatchView, Ledger
from reelmill_common.ledger.retention import Pruned
from reelmill_common.storage import ClipStore
from reelmill_common.text.suggestions import did_you_mean
from reelmill_common.text.untrusted_json import MOST_BYTES, read_object

FORM = 1
"""Version of the lines' form. Adding fields does not change it."""
SUFFIX = ".jsonl.gz"
_ENDED = "%Y%m%dt%H%M%S"
MOST_LINE_BYTES = MOST_BYTES
"""Most bytes of a record: a prompt has at most 8,192 characters, an error's message 1,000."""


def archive(ledger: Ledger, store: ClipStore, batch: str) -> str:
    """Write a batch's archive, unless there is one of its present state, and return its key.

    Raises:
        NotFound: No such batch.
        InvalidJob: It has not ended, or has new jobs meanwhile.
    """
    view = ledger.batches.get(batch)
    finished_at = require_ended(view)
    if key := ledger.retention.archive_of(view):
        return key
    ended = datetime.fromtimestamp(finished_at, UTC)
    key = f"{batch}/archive-{ended:{_ENDED}}{ended.microsecond // 1000:03d}z{SUFFIX}"
    with tempfile.TemporaryDirectory(prefix="reelmill-archive-") as folder:
        path = Path(folder) / "archive"
        with gzip.open(path, "wt", encoding="utf-8") as lines:
            for record in _records(ledger, view):
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        # Replaces only an upload of the same end of the same batch whose answer was lost.
        store.put(key, path, content_type="application/gzip", replace=True)
    if not ledger.retention.mark_archived(view, key):
        store.delete(key)
        raise InvalidJob(f"batch {batch!r} went on while it was archived; archive it when it is done")
    return key


def ended_at(key: str) -> float | None:
    """Return when the batch of an archive ended, to the second, in Unix seconds; None if its key does not say."""
    text = key.rpartition("/archive-")[2].removesuffix(f"z{SUFFIX}")[:-3]
    try:
        return datetime.strptime(text, _ENDED).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def require_ended(view: BatchView) -> float:
    """Return when a batch ended, in Unix seconds.

    Raises:
        InvalidJob: It has not ended.
    """
    if view.state is not BatchState.DONE or view.finished_at is None:
        raise InvalidJob(
            f"batch {view.name!r} has {view.remaining:,} jobs that have not ended; archive it when it is done"
        )
    return view.finished_at


def newest_archive(store: ClipStore, batch: str, *, known: Iterable[str] = ()) -> str:
    """Return the key of the newest archive of a batch, whether the ledger has the batch or not.

    Raises:
        NotFound: There is none.
    """
    check_name("batch", batch)
    keys = [item.key for item in store.list(f"{batch}/archive-") if item.key.endswith(SUFFIX)]
    if not keys:
        lists = f"{did_you_mean(batch, known)}`reelmill status` lists the batches"
        raise NotFound(f"no batch {batch!r}, and no archive of one; {lists}")
    return max(keys)


def read_archive(store: ClipStore, key: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records of an archive: the batch, then its jobs. Only one line at a time is in memory.

    Raises:
        NotFound: There is no such object.
        InvalidJob: It is not an archive, or is damaged.
    """
    with store.open(key) as packed, gzip.open(cast("IO[bytes]", packed), "rb") as lines:
        for number, line in enumerate(_lines(lines, key), start=1):
            try:
                yield read_object(line, f"line {number}")
            except InvalidDocument as err:
                raise InvalidJob(f"{key} cannot be read as an archive: {err}; look for an older one") from err


def _lines(lines: gzip.GzipFile, key: str) -> Iterator[bytes]:
    try:
        while line := lines.readline(MOST_LINE_BYTES + 1):
            if len(line) > MOST_LINE_BYTES:
                raise InvalidJob(f"{key} has a line of more than {MOST_LINE_BYTES:,} bytes, so it is not an archive")
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:  # the store's own errors pass through
        raise InvalidJob(f"{key} cannot be read as an archive: {err}; look for an older one") from err


def _records(ledger: Ledger, view: BatchView) -> Iterator[dict[str, Any]]:
    yield {"kind": "batch", "form": FORM, **asdict(view)}
    for job in ledger.jobs.every(view.name):
        yield {"kind": "job", **asdict(job)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """The result for one batch that ended long enough ago; `archive` is the key of its archive, or empty."""

    batch: str
    fate: Pruned
    archive: str = ""


def due(ledger: Ledger, older_s: float, *, batch: str = "") -> list[BatchView]:
    """Return the batches (or the one named) that ended at least so many seconds ago, oldest end first.

    Raises:
        NotFound: No such batch.
    """
    before = ledger.timetable.now().timestamp() - older_s
    views = [ledger.batches.get(batch)] if batch else ledger.batches.all()
    ended = [(view.finished_at, view) for view in views if view.finished_at is not None and view.finished_at <= before]
    return [view for _, view in sorted(ended, key=lambda pair: pair[0])]


def prune(ledger: Ledger, store: ClipStore | None, views: list[BatchView]) -> Iterator[Pruning]:
    """Archive and forget batches one by one; without a store they are forgotten without an archive.

    Raises:
        StoreError: An archive cannot be written; that batch and those after it are kept.
    """
    for view in views:
        key = ""
        if store is not None:
            try:
                key = archive(ledger, store, view.name)
            except (InvalidJob, NotFound):  # it has new jobs since it was looked at, or another process was faster
                yield Pruning(batch=view.name, fate=Pruned.GOES_ON)
                continue
        yield Pruning(batch=view.name, fate=ledger.retention.prune_batch(view), archive=key)
