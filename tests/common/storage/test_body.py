from __future__ import annotations

import base64
import hashlib
import io
import zlib
from pathlib import Path

import pytest

from reelmill_common.errors import StoreError
from reelmill_common.storage.body import PIECE_BYTES, digest, opened


def test_a_body_is_hashed_and_copied_piece_by_piece() -> None:
    body, copy = bytes(range(256)) * (PIECE_BYTES // 256 + 1), io.BytesIO()

    with opened(body) as stream:
        found = digest(stream, copy_to=copy)

    assert copy.getvalue() == body
    assert (found.size_bytes, found.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert base64.b64decode(found.crc32) == zlib.crc32(body).to_bytes(4, "big")


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*gone\.mp4.*render it again"), opened(tmp_path / "gone.mp4"):
        pass
