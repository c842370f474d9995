"""The choice of a clip store by its URL."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings
from reelmill_common.storage.folder import FolderStore
from reelmill_common.storage.store import ClipStore

MAX_PREFIX_BYTES = 512
"""S3 takes keys of 1,024 bytes; the other half is for our keys (see `keys.MAX_KEY_CHARS`)."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def open_store(settings: Settings) -> ClipStore:
    """Return the store that `settings.store_url` names; nothing is connected yet.

    Raises:
        InvalidSettings: The URL is neither `file://` nor `s3://`, or lacks its bucket or folder.
    """
    scheme, _, rest = settings.store_url.partition("://")
    if not settings.store_url:
        return FolderStore(settings.clips_folder)
    if scheme == "file":
        return FolderStore(_folder(rest))
    if scheme == "s3":
        from reelmill_common.storage.s3 import S3Store  # noqa: PLC0415 - a folder store needs no boto3, which loads slowly

        bucket, prefix = _bucket(rest)
        return S3Store(bucket, prefix, settings)
    raise InvalidSettings(f"REELMILL_STORE_URL starts with {scheme[:20]!r}; use file:///folder or s3://bucket/prefix")


def _folder(rest: str) -> Path:
    path = unquote(rest.removeprefix("localhost"))
    if not path.startswith("/") or "\0" in path:
        raise InvalidSettings(
            f"REELMILL_STORE_URL='file://{rest}' does not name an absolute folder; use three slashes, as in file:///srv/clips"
        )
    return Path(path)


def _bucket(rest: str) -> tuple[str, str]:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise InvalidSettings(  # the text before the @ is a secret: it is not shown
            "REELMILL_STORE_URL has credentials or a port before its bucket; use s3://bucket/prefix, put the server "
            "into REELMILL_S3_ENDPOINT and the keys into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidSettings(
            f"REELMILL_STORE_URL does not name a valid bucket ({bucket[:80]!r}); use s3://bucket/prefix"
        )
    parts = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in ("", ".", "..") for part in parts) or len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise InvalidSettings(
            f"REELMILL_STORE_URL has the prefix {prefix[:80]!r}; use at most {MAX_PREFIX_BYTES} bytes, without '.', "
            "'..' or empty parts"
        )
    return bucket, "/".join(parts)
