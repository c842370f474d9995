"""Object keys: where a clip, its poster and its manifest are below a store's root, and which keys are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reelmill_common.errors import InvalidJob, StoreError
from reelmill_common.jobs import check_name, job_id

MAX_KEY_CHARS = 512
"""S3 takes 1,024 bytes; the other half is for the prefix in `REELMILL_STORE_URL`."""

LOGS = "logs"
"""Begins the keys of logs, so that a batch's own folder holds only clips."""

_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipKeys:
    """The objects of one attempt. The manifest is written last: where it shows, the others do too.

    Attributes:
        preview: Stored only if the worker's `preview` setting asks for it.
    """

    video: str
    poster: str
    preview: str
    manifest: str


def clip_keys(batch: str, row: str, *, attempt: int = 1) -> ClipKeys:
    """Return `{batch}/{row}-{job8}` with a suffix for each object; `job8` begins the job's id.

    A second attempt adds `.a2`, and so on, so that a stale attempt never overwrites a finished clip.

    Raises:
        InvalidJob: A name is not usable as a key, or the attempt is not counted from 1.
    """
    check_name("batch", batch)
    check_name("row id", row)
    if attempt < 1:
        raise InvalidJob(f"attempt={attempt} is out of range; attempts are counted from 1")
    stem = f"{batch}/{row}-{job_id(batch, row)[:8]}" + (f".a{attempt}" if attempt > 1 else "")
    return ClipKeys(video=f"{stem}.mp4", poster=f"{stem}.jpg", preview=f"{stem}.webp", manifest=f"{stem}.json")


def beside(video: str, suffix: str) -> str:
    """Return the key of an object beside a clip's video: `.jpg` its poster, `.json` its manifest."""
    return video.removesuffix(".mp4") + suffix


def job_stem(batch: str, row: str) -> str:
    """Return the prefix, up to a dot, of the keys of a job's clips by any attempt in any life of the job.

    Raises:
        InvalidJob: A name is not usable as a key.
    """
    check_name("batch", batch)
    check_name("row id", row)
    return f"{batch}/{row}-{job_id(batch, row)[:8]}"


def log_key(batch: str, row: str, *, attempt: int) -> str:
    """Return the key of an attempt's log: `logs/{batch}/{row}-{job8}.a{attempt}.jsonl`.

    Raises:
        InvalidJob: A name is not usable as a key.
    """
    return f"{log_prefix(batch, row)}{attempt}.jsonl"


def log_prefix(batch: str, row: str = "") -> str:
    """Return the prefix of the keys of a batch's logs, or of one job's.

    Raises:
        InvalidJob: A name is not usable as a key.
    """
    check_name("batch", batch)
    if not row:
        return f"{LOGS}/{batch}/"
    check_name("row id", row)
    return f"{LOGS}/{batch}/{row}-{job_id(batch, row)[:8]}.a"


def check_key(key: str) -> None:
    """Refuse a key that could leave the store's root, or that some server or file system reads differently.

    Raises:
        StoreError: The message has the alphabet and the key.
    """
    if not is_key(key):
        raise StoreError(
            f"key {key[:80]!r} is not usable; use at most {MAX_KEY_CHARS} characters of a-z 0-9 . _ - in parts of 1 to "
            "128 that start with a letter or digit, parted by single '/', without '..' and without a '/' at the ends"
        )


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no legal key can start with; a part may be cut anywhere, as in `night-7/fox`.

    Raises:
        StoreError: The message has the prefix.
    """
    if prefix and not is_key(prefix + ("x" if prefix.endswith("/") else "")):
        raise StoreError(f"prefix {prefix[:80]!r} cannot begin a key; use for example 'night-7/' or 'night-7/fox'")


def is_key(key: str) -> bool:
    """Whether a key is one of ours; other objects may lie beside ours, and are not listed."""
    return len(key) <= MAX_KEY_CHARS and ".." not in key and all(map(_PART.fullmatch, key.split("/")))


def file_name(key: str) -> str:
    """Return the name under which a browser saves an object: the whole key, so that two batches differ."""
    return key.replace("/", "-")
