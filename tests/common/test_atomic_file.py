from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reelmill_common.atomic_file import write_atomically


def test_a_reader_sees_one_content_or_the_other(tmp_path: Path) -> None:
    path, contents, ended = tmp_path / "status", [b"a" * 100_000, b"b" * 100_000], threading.Event()
    write_atomically(path, contents[0])

    def write() -> None:
        for turn in range(200):
            write_atomically(path, contents[turn % 2])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: set[bytes] = set()
    while not ended.is_set():
        seen.add(path.read_bytes())
    writer.join()

    assert seen <= set(contents)
    assert path.read_bytes() == contents[1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()

    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"x")

    assert sorted(tmp_path.rglob("*")) == [tmp_path / "taken", tmp_path / "taken/file"]


def test_a_file_has_the_permissions_asked_for_or_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()

    write_atomically(tmp_path / "secret", b"x", mode=0o600)
    write_atomically(tmp_path / "open", b"x")

    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "open").stat().st_mode == (tmp_path / "any").stat().st_mode
