"""The state file, by which commands find the embedded farm that another process on the machine runs."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import IO

from reelmill_common.atomic_file import write_atomically
from reelmill_common.errors import LedgerRefused, LedgerUnavailable, StoreRefused
from reelmill_common.settings import Settings
from reelmill_common.text.untrusted_json import read_object

_FILE = "farm.json"
_LOCK = "farm.lock"
NEEDS_LOCKS = (
    "a farm of this machine alone needs Linux or macOS; "
    "set REELMILL_REDIS_URL to the Redis of a farm that runs elsewhere"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmRecord:
    """An embedded farm that runs, or that did.

    Attributes:
        pid: Process that holds the farm.
        redis_url: The URL of its Redis, with the password: the file is readable by its owner only.
        store_url: The store of its clips.
        profile: Default profile of jobs.
        worker_pid: Its `reelmill worker`, or 0.
        worker_started: Start of that process in clock ticks since boot, which distinguishes it from a reused pid.
    """

    pid: int
    redis_url: str
    store_url: str
    profile: str
    worker_pid: int = 0
    worker_started: int = 0


def write(state_dir: Path, record: FarmRecord) -> None:
    """Write the file, whole or not at all."""
    write_atomically(state_dir / _FILE, json.dumps(asdict(record)).encode(), mode=0o600)


def read(state_dir: Path) -> FarmRecord | None:
    """Return the record in the file, or None; it may be of a farm that was killed (see `is_held`)."""
    try:
        values = read_object((state_dir / _FILE).read_bytes(), _FILE)
        return FarmRecord(**{item.name: values[item.name] for item in fields(FarmRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(state_dir: Path) -> None:
    """Remove the file: no farm runs here any more."""
    (state_dir / _FILE).unlink(missing_ok=True)


def running(state_dir: Path) -> FarmRecord | None:
    """Return the farm that runs on a state folder, or None."""
    return read(state_dir) if is_held(state_dir) else None


def attached(settings: Settings) -> Settings:
    """Return settings that reach the farm that runs on `settings.state_dir`.

    Raises:
        LedgerUnavailable: No farm runs there.
        LedgerRefused: No farm can run: this is neither Linux nor macOS.
    """
    require_locks()
    record = running(settings.state_dir)
    if record is None:
        raise LedgerUnavailable(
            f"no farm runs in {settings.state_dir}; start one with `reelmill up`, "
            "or set REELMILL_REDIS_URL to the Redis of a farm that runs elsewhere"
        )
    return attached_to(settings, record)


def attached_to(settings: Settings, record: FarmRecord) -> Settings:
    """Return settings that reach a running farm."""
    return replace(
        settings,
        redis_url=record.redis_url,
        store_url=record.store_url,
        profile=settings.profile or record.profile,
    )


@contextmanager
def hold(state_dir: Path) -> Generator[bool]:
    """Try to lock the folder for this process; yield whether it is locked. The kernel unlocks it if we are killed.

    Raises:
        StoreRefused: The folder cannot be written.
        LedgerRefused: This is neither Linux nor macOS.
    """
    fcntl = require_locks()
    with _lock_file(state_dir) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _lock_file(state_dir: Path) -> IO[bytes]:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (state_dir / _LOCK).open("ab")
    except OSError as err:
        raise StoreRefused(
            f"cannot write the state folder {state_dir} ({err.strerror}); set REELMILL_STATE_DIR to another"
        ) from err


def is_held(state_dir: Path) -> bool:
    """Whether a process runs a farm here; False where files cannot be locked."""
    fcntl = _locks()
    if fcntl is None:
        return False
    try:
        with (state_dir / _LOCK).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def require_locks() -> ModuleType:
    """Return the module `fcntl`, whose locks an embedded farm needs; Windows lacks it.

    Raises:
        LedgerRefused: It is not there.
    """
    fcntl = _locks()
    if fcntl is None:
        raise LedgerRefused(NEEDS_LOCKS)
    return fcntl


def _locks() -> ModuleType | None:
    try:
        import fcntl  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    return fcntl
