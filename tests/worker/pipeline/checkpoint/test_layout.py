"""JSON files of a model folder, which may hold anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    layout.write_json(tmp_path / "vae" / "config.json", layout.TINY_DECODER_CONFIG)

    assert layout.read_json(tmp_path / "vae" / "config.json") == layout.TINY_DECODER_CONFIG


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[1]", "holds list where an object is wanted", id="a list"),
        pytest.param("{", "cannot be read as JSON", id="cut off"),
        pytest.param(b"\xff", "cannot be read as JSON", id="not UTF-8"),
        pytest.param("[" * 100_000, "nested too deep", id="nested"),
    ],
)
def test_a_file_of_something_else_is_refused(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    with pytest.raises(InvalidModel, match=message):
        layout.read_json(path)


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")

    with pytest.raises(InvalidModel, match="of at most 64,000,000 bytes"):
        layout.read_json(tmp_path / "config.json")
