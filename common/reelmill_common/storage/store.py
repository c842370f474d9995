"""What we ask of a clip store, and the choice of one by URL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reelmill_common.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object of a store: its key relative to the store's root, its size, and its SHA-256 where known."""

    key: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What the start-up self-test found.

    Attributes:
        url: The store, without secrets.
        conditional_put: Whether a second put under the same key is refused by the store itself.
        checksum_mode: boto3's mode that the server takes (`when_supported` or `when_required`); empty for a folder.
    """

    url: str
    conditional_put: bool
    checksum_mode: str


class ClipStore(Protocol):
    """A place for finished clips. Keys are relative, with `/` between parts; every part passes `jobs.check_name`'s
    alphabet, so no key leaves the root.

    All methods raise `StoreUnavailable` (try again), `StoreRefused` (somebody must act) or `StoreError`.
    """

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object whole or not at all.

        Raises:
            ClipExists: The key is taken and `replace` is False (as far as the store can tell, see `StoreReport`).
        """
        ...

    def get(self, key: str) -> bytes:
        """Return an object's bytes. Raises `NotFound`."""
        ...

    def head(self, key: str) -> StoredObject | None:
        """Return what is stored under a key, or None."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose key starts with a prefix, in key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        ...

    def url(self, key: str) -> str:
        """Return a link that a person can open now: `file://…`, or presigned for `settings.presign_s`."""
        ...

    def check(self) -> StoreReport:
        """Try the store out: reachable, writable, readable, and what it honours. Leaves nothing behind."""
        ...


def open_store(settings: Settings) -> ClipStore:
    """Return the store that `settings.store_url` names; nothing is connected yet.

    Raises:
        InvalidSettings: The URL is neither `file://` nor `s3://`, or lacks its bucket or folder.
    """
    raise InvalidSettings(settings.store_url)
