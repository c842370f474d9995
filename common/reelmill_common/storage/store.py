"""What we ask of a clip store, and the choice of one by URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from reelmill_common.errors import InvalidSettings, ObjectTooLarge
from reelmill_common.settings import Settings

MAX_PREFIX_BYTES = 512
"""S3 takes keys of 1,024 bytes; the other half is for ours (see `keys.MAX_KEY_CHARS`)."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


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


def open_store(settings: Settings) -> ClipStore:
    """Return the store that `settings.store_url` names; nothing is connected yet.

    Raises:
        InvalidSettings: The URL is neither `file://` nor `s3://`, or lacks its bucket or folder.
    """
    # Imported here: these modules import this one, and a folder's user need not wait for boto3.
    from reelmill_common.storage.folder import FolderStore  # noqa: PLC0415 - see above

    scheme, _, rest = settings.store_url.partition("://")
    if not settings.store_url:
        return FolderStore(settings.clips_folder)
    if scheme == "file":
        return FolderStore(_folder(rest))
    if scheme == "s3":
        from reelmill_common.storage.s3 import S3Store  # noqa: PLC0415 - see above

        bucket, prefix = _bucket(rest)
        return S3Store(bucket, prefix, settings)
    raise InvalidSettings(f"REELMILL_STORE_URL starts with {scheme[:20]!r}; use file:///folder or s3://bucket/prefix")


def _folder(rest: str) -> Path:
    path = unquote(rest.removeprefix("localhost"))
    if not path.startswith("/") or "\0" in path:
        raise InvalidSettings(
            f"REELMILL_STORE_URL='file://{rest}' names no absolute folder; use three slashes, as in file:///srv/clips"
        )
    return Path(path)


def _bucket(rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise InvalidSettings(  # what stands before the @ is a secret: it is not repeated
            "REELMILL_STORE_URL has credentials or a port before its bucket; use s3://bucket/prefix, put the server "
            "into REELMILL_S3_ENDPOINT and the keys into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidSettings(f"REELMILL_STORE_URL names no usable bucket ({bucket[:80]!r}); use s3://bucket/prefix")
    parts = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in ("", ".", "..") for part in parts) or len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise InvalidSettings(
            f"REELMILL_STORE_URL has the prefix {prefix[:80]!r}; use at most {MAX_PREFIX_BYTES} bytes, without '.', "
            "'..' or empty parts"
        )
    return bucket, "/".join(parts)
