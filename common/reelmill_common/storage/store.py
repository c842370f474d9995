"""What is asked of a clip store: the protocol, and the records that it speaks in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reelmill_common.errors import ObjectTooLarge


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object of a store: its key relative to the store's root, its size, and its SHA-256 where known.

    Attributes:
        modified_s: Unix seconds of its last change by the store's clock, where a listing tells it.
    """

    key: str
    size_bytes: int
    sha256: str | None = None
    modified_s: float | None = None


def check_size(key: str, size_bytes: int, most_bytes: int | None) -> None:
    """Refuse to read an object that is too large. Raises `ObjectTooLarge`."""
    if most_bytes is not None and size_bytes > most_bytes:
        raise ObjectTooLarge(
            f"{key!r} has {size_bytes} bytes, and at most {most_bytes} were expected, so it is not ours and was not "
            "read; remove it"
        )


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


class Readable(Protocol):
    """An object under way: `read` returns the next bytes of it, at most so many; none at its end."""

    def read(self, size: int = ..., /) -> bytes:
        """Return the next bytes."""
        ...


class ClipStore(Protocol):
    """A place for finished clips.

    Keys are relative, with `/` between parts; every part is of `jobs.check_name`'s alphabet, so no key leaves the root
    (see `keys.py`). Objects under other keys may lie beside ours and are never shown.

    All methods raise `StoreUnavailable` (try again), `StoreRefused` (somebody must act) or `StoreError`.
    """

    @property
    def links_last_s(self) -> int | None:
        """Seconds that a link of `url` works. None: for ever, and a page in the store may link to its neighbours."""
        ...

    @property
    def links_note(self) -> str:
        """Say why links of `url` may end sooner than the settings say; empty if they do not."""
        ...

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object whole or not at all, and compare what arrived with what was sent.

        Storing the same content again is a success: the answer to the first put may have been lost. `replace` is for
        what changes, such as an index page.

        Raises:
            ClipExists: The key holds other content and `replace` is False (as far as the store can tell, see
                `StoreReport`).
        """
        ...

    def get(self, key: str, *, most_bytes: int | None = None) -> bytes:
        """Return an object's bytes, of which there may be `most_bytes`.

        Raises:
            NotFound: There is none.
            ObjectTooLarge: It is larger, and was not read.
        """
        ...

    def open(self, key: str) -> AbstractContextManager[Readable]:
        """Give an object piece by piece, for what may be too large for memory.

        Raises:
            NotFound: There is none.
        """
        ...

    def head(self, key: str) -> StoredObject | None:
        """Return what is stored under a key, or None."""
        ...

    def missing(self, objects: Sequence[StoredObject]) -> list[StoredObject]:
        """Return those of some objects that the store does not show now, or not with that size.

        Costs one request where all are there and their keys begin alike. What was put a moment ago may be missing for
        some seconds on a store that is consistent only in the end: ask again before you believe it.
        """
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
