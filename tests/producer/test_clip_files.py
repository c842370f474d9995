"""Clips as files: verified, whole or not there, left alone where they are right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from reelmill_common.errors import StoreError, StoreRefused
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store
from reelmill_producer.clip_files import fetch_clip, write_whole

CONTENT = b"MP4 of a fox"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_that_is_right_is_left_alone_and_any_other_is_replaced(settings: Settings, tmp_path: Path) -> None:
    store, target = open_store(settings), tmp_path / "fox.mp4"
    store.put("night/fox.mp4", CONTENT, content_type="video/mp4")

    def fetch() -> bool:
        return fetch_clip(store, "night/fox.mp4", target, sha256=SHA256, size_bytes=len(CONTENT))

    first, second = fetch(), fetch()
    target.write_bytes(b"MP4 of a f0x")
    third = fetch()

    assert (first, second, third) == (True, False, True)
    assert target.read_bytes() == CONTENT


def test_a_clip_that_was_altered_in_the_store_makes_no_file(settings: Settings, tmp_path: Path) -> None:
    store = open_store(settings)
    store.put("night/fox.mp4", b"MP4 of a f0x", content_type="video/mp4")

    with pytest.raises(StoreError, match="SHA-256 differs"):
        fetch_clip(store, "night/fox.mp4", tmp_path / "fox.mp4", sha256=SHA256, size_bytes=len(CONTENT))

    assert not list(tmp_path.glob("*.*"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match=r"cannot write .*none/fox\.mp4"):
        write_whole(tmp_path / "none/fox.mp4", CONTENT)
