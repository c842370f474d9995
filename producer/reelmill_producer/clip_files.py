"""Clips as files on this machine: downloaded from the store, verified, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reelmill_common.atomic_file import write_atomically
from reelmill_common.errors import StoreError, StoreRefused
from reelmill_common.storage import ClipStore

_BLOCK_BYTES = 1_048_576
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))]
)
"""Names that Windows reserves for devices, whatever follows the first dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A clip to download.

    Attributes:
        fields: Values that `--only` may select by, by name.
        favourite: Whether a person marked it as one.
    """

    row: str
    key: str
    sha256: str
    size_bytes: int
    seed: int
    fields: Mapping[str, str]
    favourite: bool = False

    @property
    def file_name(self) -> str:
        """Name of its file: its row, and its seed unless the row ends in it. No two rows share one."""
        name = self.row if self.row.endswith(f"-s{self.seed}") else f"{self.row}.s{self.seed}"
        return f"_{name}.mp4" if name.partition(".")[0] in _RESERVED else f"{name}.mp4"


def fetch_clip(store: ClipStore, key: str, target: Path, *, sha256: str, size_bytes: int) -> bool:
    """Download one clip to a file; return whether that was needed.

    Raises:
        NotFound: The store no longer has it.
        StoreError: It is not what was rendered, or the file cannot be written.
    """
    if _is_right(target, sha256, size_bytes):
        return False
    content = store.get(key, most_bytes=size_bytes)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StoreError(f"{key} in the store is not the clip that was rendered (its SHA-256 differs); render it again")
    write_whole(target, content)
    return True


def write_whole(target: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StoreRefused: The disk does not take it.
    """
    try:
        write_atomically(target, content)
    except OSError as err:
        raise StoreRefused(f"cannot write {target} ({err.strerror}); choose another place") from err


def _is_right(path: Path, sha256: str, size_bytes: int) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != size_bytes:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return False  # the error of the write is more exact
    return digest.hexdigest() == sha256
