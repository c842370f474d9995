"""The copy of a farm's record in its store, and what comes back from there when Redis has lost the record.

A worker's parent keeps the copy: what people made (schedules, tokens, owners), and an archive of each ended batch.
It is named after the record's identity, so that the empty record that follows a loss replaces nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from reelmill_common.archive import SUFFIX, ended_at, read_archive
from reelmill_common.contract import RECORD_FOLDER
from reelmill_common.errors import InvalidJob, NotFound, ReelmillError
from reelmill_common.farm_mark import leave_mark, other_mark
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.restoration import CopiedKey
from reelmill_common.storage import ClipStore
from reelmill_common.text.untrusted_json import read_object

FORM = 1
MOST_COPY_BYTES = 64_000_000
"""Most bytes of a packed copy that is read: schedules have at most 16 MB of rows each, packed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostBatch:
    """A batch that had not been archived when the copy was made: its file has to be submitted again."""

    name: str
    jobs: int
    source: str


@dataclass(slots=True, kw_only=True)
class Restored:
    """What came back, and what did not.

    Attributes:
        there: Batches that the farm has already.
        old: Batches that ended too long ago to be kept; their archives stay.
        damaged: Why an archive could not be read, by batch.
        lost: Batches that had not ended, or not been archived.
    """

    schedules: int = 0
    tokens: int = 0
    owners: int = 0
    batches: list[str] = field(default_factory=list[str])
    there: list[str] = field(default_factory=list[str])
    old: list[str] = field(default_factory=list[str])
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    lost: list[LostBatch] = field(default_factory=list[LostBatch])


def copy_key(identity: str) -> str:
    """Return the key of the copy of the record with an identity."""
    return f"{RECORD_FOLDER}/{identity}.json.gz"


def copy_text(ledger: Ledger, record: list[CopiedKey]) -> bytes:
    """Return a record as it is stored, with the rows of its schedules and the names of batches without an archive."""
    views = [view for view in ledger.batches.all() if not ledger.retention.archive_of(view)]
    open_batches = [{"name": view.name, "jobs": view.total, "source": view.source} for view in views]
    whole = {"form": FORM, "keys": [*record, *ledger.restoration.rows(record)], "open": open_batches}
    return gzip.compress(json.dumps(whole, ensure_ascii=False).encode(), mtime=0)


def restore(ledger: Ledger, store: ClipStore, farm: str, *, keep_s: float = 0.0) -> Restored:
    """Bring back what the store has of this farm; what is in the ledger by now stays as it is.

    Args:
        ledger: It may hold some of it already.
        store: The store of the farm whose record was lost.
        farm: The farm's name.
        keep_s: Seconds after its end for which the farm keeps a batch, so that Redis is not filled with what workers
            would forget again; 0: for ever.

    Raises:
        NotFound: The store has neither a copy nor an archive.
        InvalidJob: The copy cannot be read.
    """
    found = Restored()
    chosen, replaced = _identity(ledger, store), ledger.identity(make=False)
    keys, opened = _read_copy(store, chosen)
    keys.sort(key=lambda key: key[0] == "identity")  # last: until then workers copy elsewhere, and a new try finds it
    for name, kind, members in keys:
        if name == "identity" and replaced not in ("", chosen):  # a second run would take it for what was lost
            store.delete(copy_key(replaced))
        added = ledger.restoration.put((name, kind, members))
        found.schedules += added if name == "schedule_names" else 0
        found.tokens += added if name == "token_names" else 0
        found.owners += bool(added) and name.startswith("owner:")
    leave_mark(ledger, store, farm, replace=True)
    newest = _archives(store)
    if not keys and not newest:
        raise NotFound("the store has neither a copy of a record nor an archive: submit the prompt files again")
    since = ledger.timetable.now().timestamp() - keep_s if keep_s else 0.0
    for name, key in newest.items():
        if (ended := ended_at(key)) is not None and ended < since:
            found.old.append(name)
        else:
            _restore_batch(ledger, store, name, key, found)
    back = {*found.batches, *found.there, *found.old}
    found.lost = [batch for batch in opened if batch.name not in back and not ledger.batches.exists(batch.name)]
    return found


def _restore_batch(ledger: Ledger, store: ClipStore, name: str, key: str, found: Restored) -> None:
    try:
        records = read_archive(store, key)
        batch = next(records)
        (found.batches if ledger.restoration.batch(batch, records, key) else found.there).append(name)
    except (InvalidJob, KeyError, TypeError, ValueError, StopIteration) as err:
        why = str(err) if isinstance(err, ReelmillError) else f"{key} lacks what this version expects ({err!r})"
        found.damaged[name] = why


def _identity(ledger: Ledger, store: ClipStore) -> str:
    """Return the identity of the record that the store was this farm's under; "" if there is no copy."""
    mark, ours = other_mark(ledger, store), ledger.identity(make=False)
    copies = [(item.modified_s or 0.0, item.key) for item in store.list(f"{RECORD_FOLDER}/")]
    wanted = copy_key(mark.identity) if mark is not None else ""
    keys = [key for _, key in sorted(copies) if key != copy_key(ours)] or [key for _, key in sorted(copies)]
    chosen = wanted if wanted in keys else (keys[-1] if keys else "")
    return chosen.removeprefix(f"{RECORD_FOLDER}/").removesuffix(".json.gz")


def _read_copy(store: ClipStore, identity: str) -> tuple[list[CopiedKey], list[LostBatch]]:
    if not identity:
        return [], []
    key = copy_key(identity)
    try:
        fields: Any = read_object(
            gzip.decompress(store.get(key, most_bytes=MOST_COPY_BYTES)), key, most_bytes=8 * MOST_COPY_BYTES
        )
        keys = [(str(name), str(kind), [str(text) for text in members]) for name, kind, members in fields["keys"]]
        return keys, [LostBatch(**batch) for batch in fields["open"]]
    except (OSError, KeyError, TypeError, ValueError) as err:
        raise InvalidJob(f"{key} cannot be read as the copy of a record ({err})") from err


def _archives(store: ClipStore) -> dict[str, str]:
    """Return the key of the newest archive of each batch, oldest batch's name first."""
    found: dict[str, str] = {}
    for key in _archive_keys(store.list("")):
        batch = key.partition("/")[0]
        found[batch] = max(key, found.get(batch, ""))
    return found


def _archive_keys(items: Iterable[Any]) -> Iterator[str]:
    return (
        item.key for item in items if item.key.endswith(SUFFIX) and item.key.partition("/")[2].startswith("archive-")
    )
