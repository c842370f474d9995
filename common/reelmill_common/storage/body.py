"""The body of a put: bytes or a file, read in pieces and hashed on the way."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reelmill_common.errors import StoreError

PIECE_BYTES = 1 << 20
"""Bytes read and written at once: enough to hash at full speed, few enough for a render host's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Size and hashes of a body.

    S3 servers call the MD5 an ETag, and boto3 sends the CRC32 (base64, as S3 writes it) with a body; both serve only to
    compare a server's answer with what was sent.
    """

    size_bytes: int
    sha256: str
    md5: str
    crc32: str


@contextmanager
def opened(source: Path | bytes) -> Generator[IO[bytes]]:
    """Open a body for reading from its start.

    Raises:
        StoreError: The file cannot be read; the message names it.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        stream = source.open("rb")
    except OSError as err:
        raise StoreError(f"cannot read {source}, which was to be stored ({err.strerror}); render it again") from err
    with stream:
        yield stream


def digest(stream: IO[bytes], copy_to: IO[bytes] | None = None) -> Digest:
    """Read a stream to its end and hash it, and copy it to another one on the way."""
    sha256, md5, crc32, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0, 0
    while piece := stream.read(PIECE_BYTES):
        sha256.update(piece)
        md5.update(piece)
        crc32 = zlib.crc32(piece, crc32)
        size += len(piece)
        if copy_to is not None:
            copy_to.write(piece)
    crc = base64.b64encode(crc32.to_bytes(4, "big")).decode()
    return Digest(size_bytes=size, sha256=sha256.hexdigest(), md5=md5.hexdigest(), crc32=crc)
