"""The mark of a farm in its clip store, which says to which farm a bucket and prefix, or a folder, belongs.

Two farms on one store render for nothing, overwrite each other's sheets and take each other's clips for leftovers. The
mark identifies the ledger's record, not the farm's name: both farms may be called `main`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from reelmill_common.contract import FARM_MARK
from reelmill_common.errors import ClipExists, InvalidDocument, NotFound
from reelmill_common.ledger import Ledger
from reelmill_common.storage import ClipStore
from reelmill_common.text.untrusted_json import read_object

MOST_BYTES = 10_000
TAKE_OVER = "`reelmill audit --take-over`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The mark on a store: identity of the ledger's record, name of the farm, and time of the mark."""

    identity: str
    farm: str
    since: str

    def warning(self, farm: str) -> str:
        """Say that the store bears the mark of another record, and what to do about it."""
        return (
            f"the clip store bears the mark of farm {self.farm!r}, made {self.since}, whose record is not that of farm "
            f"{farm!r} here: two farms in one place render for nothing and overwrite each other's sheets. Give each a "
            f"prefix of its own in REELMILL_STORE_URL; if that record is lost, {TAKE_OVER} makes the store this farm's"
        )


def other_mark(ledger: Ledger, store: ClipStore) -> Mark | None:
    """Return the mark of another farm on the store, or None if there is no mark, or ours.

    Raises:
        StoreError: The store does not answer.
    """
    mark = _read(store)
    return None if mark is None or mark.identity == ledger.identity(make=False) else mark


def leave_mark(ledger: Ledger, store: ClipStore, farm: str, *, replace: bool = False) -> Mark | None:
    """Mark the store as this farm's, unless it bears another mark, which is returned; `replace` takes it over.

    Raises:
        StoreError: The store refuses it.
    """
    if not replace and (found := _read(store)) is not None:
        return None if found.identity == ledger.identity(make=False) else found
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"identity": ledger.identity(), "farm": farm, "since": since}) + "\n"
    try:
        store.put(FARM_MARK, text.encode(), content_type="application/json", replace=replace)
    except ClipExists:  # another worker was faster, of this farm or of another
        return other_mark(ledger, store)
    return None


def _read(store: ClipStore) -> Mark | None:
    try:
        fields = read_object(store.get(FARM_MARK, most_bytes=MOST_BYTES), FARM_MARK)
    except NotFound:
        return None
    except InvalidDocument:
        fields = {}
    return Mark(**{name: str(fields.get(name, "?"))[:64] for name in ("identity", "farm", "since")})
