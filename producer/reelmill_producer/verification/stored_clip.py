"""The verdict on a clip in the store: what its file says now, beside what was recorded when it was made."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelmill_common.config.extras import require_extra
from reelmill_common.errors import InvalidDocument, InvalidSettings, NotFound, ObjectTooLarge
from reelmill_common.ledger import Result
from reelmill_common.provenance.batch_index import BatchIndex
from reelmill_common.recipe import read_manifest
from reelmill_common.settings import Settings
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside
from reelmill_common.text.untrusted_json import MOST_BYTES
from reelmill_producer.verification.download import MOST_BYTES as MOST_FILE_BYTES
from reelmill_producer.verification.verdicts import Verification, read_anchors, verify

PIECE_BYTES = 1 << 20
MOST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """The verdict on a stored clip.

    Attributes:
        is_as_stored: Whether the file has the SHA-256 that the ledger has.
        verification: None: it cannot be verified here.
        reason: Why, where the verdict alone does not say it.
    """

    is_as_stored: bool
    verification: Verification | None
    reason: str

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = self.verification
        said = (found.signature if found else None) or {}
        return {
            "verdict": found.verdict.value if found else None,
            "reason": self.reason,
            "signer": str(said.get("signer", ""))[:MOST_NAME],
            "time_stamp": str(said.get("time", ""))[:MOST_NAME],
            "as_stored": self.is_as_stored,
        }


def verify_stored(clip: Result, store: ClipStore, settings: Settings) -> StoredVerdict:
    """Verify a clip as `reelmill verify` does; without a trusted signature it is compared with its own fingerprint.

    Raises:
        NotFound: The store no longer has it.
        ObjectTooLarge: What it has is larger than any clip.
        StoreError: The store cannot be asked.
    """
    with tempfile.TemporaryDirectory(prefix="reelmill-verify-") as folder:
        path = Path(folder) / "file"
        is_as_stored = _copy(clip.key, store, path) == clip.sha256
        try:
            require_extra("provenance", "the verdict")
            anchors = read_anchors(settings.provenance_trust)
        except InvalidSettings as err:
            return StoredVerdict(is_as_stored=is_as_stored, verification=None, reason=str(err))
        found = verify(path, anchors=anchors, store=store, among=_own_index(clip.key, store))
    return StoredVerdict(is_as_stored=is_as_stored, verification=found, reason=found.reason)


def _copy(key: str, store: ClipStore, path: Path) -> str:
    """Write an object into a file and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with store.open(key) as stream, path.open("wb") as target:
        while piece := stream.read(PIECE_BYTES):
            size += len(piece)
            if size > MOST_FILE_BYTES:
                raise ObjectTooLarge(f"{key} has more than {MOST_FILE_BYTES:,} bytes, so it is no clip of ours")
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def _own_index(key: str, store: ClipStore) -> Iterator[BatchIndex]:
    """Yield an index with only the fingerprint that a clip's manifest has; nothing if it has none."""
    from reelmill_common.provenance.fingerprint import Fingerprint  # noqa: PLC0415 - of the extra

    try:
        marks = read_manifest(store.get(beside(key, ".json"), most_bytes=MOST_BYTES)).clip.marks
        if marks is not None and marks.fingerprint:
            yield BatchIndex(hashes=Fingerprint.read(marks.fingerprint).content, keys=key.encode())
    except (NotFound, ObjectTooLarge, InvalidDocument):
        return
