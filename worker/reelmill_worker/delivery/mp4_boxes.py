"""The tags of an MP4 as iTunes writes them, which Apple's, GStreamer's and most other readers know.

`moov/udta/meta` of handler `mdir` with an `ilst`: atoms of four letters (`©nam`, `©cmt`, `desc`, `©too`), and `----`
atoms for names of our own. FFmpeg writes the first kind only, so it is made to leave room, which is filled here:
nothing else of the file moves. Source of the format: ISO/IEC 14496-12 and Apple's QuickTime File Format; what `----`
atoms hold is as mutagen's documents describe it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

OWN_NAMES = "com.apple.iTunes"
"""Owner of the names of `----` atoms: the one that other programs show."""
TITLE_BYTES = 250
"""Longest title: players show it in one line."""
_LETTERS = {
    "title": b"\xa9nam",
    "comment": b"\xa9cmt",
    "description": b"desc",
    "encoder": b"\xa9too",
    "genre": b"\xa9gen",
}
_HEAD = 8
_UTF8 = 1


def tag_boxes(tags: Mapping[str, str]) -> bytes:
    """Return a `meta` box with tags: those that readers know by four letters as such, others by their names."""
    items = [
        _box(_LETTERS[name], _data(text)) if name in _LETTERS else _named(name, text)
        for name, text in tags.items()
        if text
    ]
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return _box(b"meta", bytes(4) + handler + _box(b"ilst", b"".join(items)))


def room_for(boxes: bytes) -> str:
    """Return a comment that makes FFmpeg leave as much room: what it writes around it is more than a box's head."""
    return "x" * len(boxes)


def write_tags(file: BinaryIO, boxes: bytes) -> None:
    """Put the boxes into the room that was left in a file, with a `free` box for what is over.

    Raises:
        ValueError: There is no room, or less.
    """
    place, size = _find(file, (b"moov", b"udta"))
    over = size - len(boxes)
    if over != 0 and over < _HEAD:
        raise ValueError(f"the file has {size} bytes for tags, and {len(boxes)} are needed")
    file.seek(place)
    file.write(boxes + (_box(b"free", bytes(over - _HEAD)) if over else b""))


def title_of(prompt: str) -> str:
    """Return the beginning of a prompt, cut between two characters."""
    return prompt.encode()[:TITLE_BYTES].decode("utf-8", "ignore")


def top_boxes(path: Path) -> Iterator[bytes]:
    """Yield the kinds of a file's outermost boxes, in their order."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD)) == _HEAD:
            size, kind = struct.unpack(">I4s", head)
            done = _HEAD
            if size == 1:
                (size,) = struct.unpack(">Q", file.read(_HEAD))
                done += _HEAD
            yield kind
            if size < done:
                return
            file.seek(size - done, SEEK_CUR)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", _HEAD + len(content), kind) + content


def _data(text: str) -> bytes:
    return _box(b"data", struct.pack(">II", _UTF8, 0) + text.encode())


def _named(name: str, text: str) -> bytes:
    return _box(
        b"----", _box(b"mean", bytes(4) + OWN_NAMES.encode()) + _box(b"name", bytes(4) + name.encode()) + _data(text)
    )


def _find(file: BinaryIO, path: tuple[bytes, ...]) -> tuple[int, int]:
    """Return where the content of a box begins, and its size."""
    start, end = 0, file.seek(0, 2)
    for wanted in path:
        while True:
            if start + _HEAD > end:
                raise ValueError(f"the file has no box {wanted.decode()}")
            file.seek(start)
            size, kind = struct.unpack(">I4s", file.read(_HEAD))
            if size == 1:
                (size,) = struct.unpack(">Q", file.read(_HEAD))
            if size < _HEAD:
                raise ValueError(f"box {kind!r} has the size {size}")
            if kind == wanted:
                start, end = start + _HEAD, start + size
                break
            start += size
    return start, end - start
