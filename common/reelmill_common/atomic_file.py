"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write beside a file and rename: a reader sees the old content or the new, never a part of it.

    Args:
        path: Path of the file; its folder exists.
        content: Its new content.
        mode: Its permissions, less the process' umask.

    Raises:
        OSError: The write failed; the old file stays and nothing is left beside it.
    """
    part = path.with_name(f".reelmill-{secrets.token_hex(6)}.part")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
