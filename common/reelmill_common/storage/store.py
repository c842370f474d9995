"""The protocol of a clip store, and its records."""

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
        modified_s: Unix seconds of its last change by the store's clock, if a listing has it.
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
    """The result of the start-up self-test.

    Attributes:
        url: The store, without secrets.
        conditional_put: Whether a second put under the same key is refused by the store itself.
        checksum_mode: boto3's mode that the server takes (`when_supported` or `when_required`); empty for a folder.
    """

    url: str
    conditional_put: bool
    checksum_mode: str


class Readable(Protocol):
    """An object being read: `read` returns its next bytes, at most so many; none at its end."""

    def read(self, size: int = ..., /) -> bytes:
        """Return the next bytes."""
        ...


class ClipStore(Protocol):
    """A place for finished clips.

    Keys are relative, with `/` between parts; every part is of `jobs.check_name`'s alphabet, so no key leaves the root
    (see `keys.py`). Objects under other keys may lie beside ours and are never shown.

    All methods raise `StoreUnavailable` (try again), `StoreRefused` (the set-up must change) or `StoreError`.
    """

    @property
    def links_last_s(self) -> int | None:
        """Seconds that a link of `url` works. None: for ever, and pages in the store may use relative links."""
        ...

    @property
    def links_note(self) -> str:
        """Why links of `url` may expire sooner than the settings say; empty if they do not."""
        ...

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object atomically, and compare what arrived with what was sent.

        Storing the same content again succeeds: the answer to the first put may have been lost. `replace` is for
        objects that change, such as an index page.

        Raises:
            ClipExists: The key holds other content and `replace` is False (as far as the store knows, see
                `StoreReport`).
        """
        ...

    def get(self, key: str, *, most_bytes: int | None = None) -> bytes:
        """Return an object's bytes, at most `most_bytes`.

        Raises:
            NotFound: There is no such object.
            ObjectTooLarge: It is larger, and was not read.
        """
        ...

    def open(self, key: str, *, start: int = 0) -> AbstractContextManager[Readable]:
        """Open an object to be read piece by piece, as one that may be too large for memory.

        Args:
            key: The object.
            start: Byte to begin at, within the object.

        Raises:
            NotFound: There is no such object.
        """
        ...

    def head(self, key: str) -> StoredObject | None:
        """Return the record of an object, or None."""
        ...

    def missing(self, objects: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the objects that the store does not show now, or shows with another size.

        It costs one request if all are there and their keys begin alike. An eventually consistent store may not show a
        new object for some seconds: ask again before you believe that it is missing.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose key starts with a prefix, in key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is not an error."""
        ...

    def url(self, key: str) -> str:
        """Return a link that a person can open now: `file://…`, or presigned for `settings.presign_s`."""
        ...

    def check(self) -> StoreReport:
        """Test whether the store can be reached, written and read, and what it supports. Nothing is left behind."""
        ...
