"""`FolderStore`: clips in a local or mounted folder, stored atomically even across a crash or a power cut."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import structlog

from reelmill_common.errors import ClipExists, NotFound, ReelmillError, StoreError, StoreRefused, StoreUnavailable
from reelmill_common.storage.body import digest, opened
from reelmill_common.storage.keys import check_key, check_prefix, is_key
from reelmill_common.storage.store import StoredObject, StoreReport, check_size

PART_AGE_S = 86_400.0
"""Age after which an unfinished file is that of a dead process: no put takes a day."""

_PART_SUFFIX = ".part"
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.ELOOP}
_WAIT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN}

log = structlog.get_logger()


class FolderStore:
    """A `ClipStore` in a folder.

    A put writes a hidden file beside the target, syncs it, and links it to its name, which fails if the name is taken;
    then it syncs the folder. `list`, `get` and `head` never show hidden files.
    """

    links_last_s = None
    links_note = ""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def put(self, key: str, source: Path | bytes, *, content_type: str, replace: bool = False) -> StoredObject:
        """Store an object; see `ClipStore.put`. The content type is not kept: a folder cannot hold it."""
        del content_type
        target = self._path(key)
        with self._faults(), opened(source) as stream:
            _make_folder(target.parent)
            with _part_beside(target) as (part, handle):
                body = digest(stream, copy_to=handle)
                handle.flush()
                os.fsync(handle.fileno())
                handle.close()  # Windows does not rename an open file
                placed = _replace(part, target) if replace else _place_once(part, target)
            _sync_folder(target.parent)
            # Equal content is our own earlier put, whose caller died before it could report it.
            if not placed and _sha256(target) != body.sha256:
                raise ClipExists(
                    f"{target} holds another clip already, and clips are never overwritten; store under a new key, or "
                    "remove the file if it is not wanted"
                )
        return StoredObject(key=key, size_bytes=body.size_bytes, sha256=body.sha256)

    def get(self, key: str, *, most_bytes: int | None = None) -> bytes:
        """Return an object's bytes."""
        with self.open(key) as stream:
            check_size(key, os.fstat(stream.fileno()).st_size, most_bytes)
            return stream.read()

    @contextmanager
    def open(self, key: str, *, start: int = 0) -> Generator[IO[bytes]]:
        """Give an object piece by piece."""
        path = self._path(key)
        with self._faults():
            try:
                stream = path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
                raise NotFound(
                    f"no clip {key!r} in {self.root}; `reelmill results BATCH --json` names those of a batch"
                ) from err
            with stream:
                stream.seek(start)
                yield stream

    def head(self, key: str) -> StoredObject | None:
        """Return an object's size, or None. The hash is not kept: it would cost a read of the whole file."""
        path = self._path(key)
        with self._faults():
            try:
                return StoredObject(key=key, size_bytes=path.stat().st_size) if path.is_file() else None
            except (FileNotFoundError, NotADirectoryError):
                return None

    def missing(self, objects: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the objects that are missing or have another size."""
        found = {item.key: self.head(item.key) for item in objects}
        return [item for item in objects if (there := found[item.key]) is None or there.size_bytes != item.size_bytes]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield objects in key order, one folder in memory at a time."""
        check_prefix(prefix)
        with self._faults():
            yield from _walk(self.root, "", prefix)

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is not an error."""
        path = self._path(key)
        with self._faults(), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            _sync_folder(path.parent)

    def url(self, key: str) -> str:
        """Return a `file://` link, percent-encoded where the folder's name needs it."""
        return self._path(key).as_uri()

    def check(self) -> StoreReport:
        """Write, read and remove a hidden file, and remove what dead processes left."""
        with self._faults():
            _make_folder(self.root)
            with _part_beside(self.root / "check") as (part, handle):
                handle.write(b"reelmill")
                handle.flush()
                os.fsync(handle.fileno())
                if part.read_bytes() != b"reelmill":
                    raise StoreUnavailable(f"{self.root} does not give back what was written; check the disk")
            _sync_folder(self.root)
            _sweep(self.root)
        return StoreReport(url=self.root.as_uri(), conditional_put=True, checksum_mode="")

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.root / key

    @contextmanager
    def _faults(self) -> Generator[None]:
        try:
            yield
        except ReelmillError:  # a StoreError is an OSError too, and is explained already
            raise
        except OSError as err:
            raise _explained(err, self.root) from err


def _explained(err: OSError, root: Path) -> StoreError:
    where, why = err.filename or root, err.strerror or str(err)
    if err.errno in _REFUSED:
        return StoreRefused(
            f"folder {root} is not writable for {_user()} ({why} at {where}); give that user write "
            "permission or set REELMILL_STORE_URL to another folder"
        )
    if err.errno in _NO_FOLDER:
        return StoreRefused(
            f"{where} is not a folder ({why}), so nothing can be stored in {root}; move it away or set "
            "REELMILL_STORE_URL to another folder"
        )
    if err.errno in _WAIT:
        return StoreUnavailable(f"folder {root} takes no writes now ({why}); free space or bring the disk back")
    return StoreError(f"storing in folder {root} failed at {where} ({why}); check the disk and the path")


def _user() -> str:
    return f"user id {os.geteuid()}" if hasattr(os, "geteuid") else "this user"  # Windows has no ids


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows does not open folders
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _part_beside(target: Path) -> Generator[tuple[Path, IO[bytes]]]:
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}{_PART_SUFFIX}")
    try:
        with part.open("xb") as handle:
            yield part, handle
    finally:
        part.unlink(missing_ok=True)


def _replace(part: Path, target: Path) -> bool:
    part.replace(target)
    return True


def _place_once(part: Path, target: Path) -> bool:
    """Link the part to its name unless that is taken; return whether it was free."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        return False
    except OSError as err:
        if err.errno not in _NO_HARD_LINKS:
            raise
        return _rename_once(part, target)
    return True


def _rename_once(part: Path, target: Path) -> bool:
    """Do so on a file system without hard links (exFAT, some network mounts): look, then rename, under a lock."""
    import fcntl  # noqa: PLC0415 - Windows has no such module, and hard links on NTFS

    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the kernel drops it with the process, so none is stale
        if target.exists():
            return False
        part.replace(target)
    finally:
        os.close(folder)
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return digest(stream).sha256


def _walk(folder: Path, base: str, prefix: str) -> Iterator[StoredObject]:
    try:
        with os.scandir(folder) as found:
            # S3's order is that of whole keys, in which 'a-b/x' comes before 'a/x': '-' sorts before '/'.
            entries = {base + entry.name + ("/" if entry.is_dir() else ""): entry for entry in found}
    except FileNotFoundError:
        return
    for key, entry in sorted(entries.items()):
        if key.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(Path(entry.path), key, prefix)
        elif key.startswith(prefix) and is_key(key):
            with suppress(FileNotFoundError):  # deleted since the folder was read
                found_now = entry.stat()
                yield StoredObject(key=key, size_bytes=found_now.st_size, modified_s=found_now.st_mtime)


def _sweep(root: Path) -> None:
    oldest = time.time() - PART_AGE_S
    for part in root.rglob(f".*{_PART_SUFFIX}"):
        with suppress(FileNotFoundError):
            if part.stat().st_mtime < oldest:
                part.unlink()
                log.warning("store.part_swept", path=str(part))
