"""The tags of an MP4, read without decoding: only the boxes that lead to them are parsed, all sizes bounded.

Written by hand, since only workers have FFmpeg (PyAV), and mutagen is under the GPL. Source of the format:
ISO/IEC 14496-12 (boxes) and Apple's QuickTime File Format: `meta` with an `ilst` as iTunes writes it, or, in older
clips, with `keys` and `ilst`, as FFmpeg does with `use_metadata_tags`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from reelmill_common.errors import NotFound

MOST_INDEX = 8_000_000
"""Largest index (`moov`) that is read, in bytes; that of 81 frames has 8 kB."""
MOST_TAGS = 200
_HEAD = 8
_TEXT = 1
_LETTERS = {
    b"\xa9nam": "title",
    b"\xa9cmt": "comment",
    b"desc": "description",
    b"\xa9too": "encoder",
    b"\xa9gen": "genre",
}


def read_tags(head: bytes) -> Mapping[str, str]:
    """Return the tags of a file.

    Args:
        head: The beginning of the file; the index of our clips comes first, so a megabyte is enough.

    Raises:
        NotFound: It is not an MP4, or its index is not within `head`.
    """
    boxes = dict(_boxes(head))
    if b"ftyp" not in boxes or b"moov" not in boxes:
        raise NotFound("this is not an MP4 with its index in front; only clips made by Reelmill have a recipe")
    index = boxes[b"moov"]
    meta = dict(_boxes(_inside(index, b"udta", b"meta") or _inside(index, b"meta"), skip_version=True))
    names = list(_keys(meta.get(b"keys", b"")))
    found: dict[str, str] = {}
    for place, item in _boxes(meta.get(b"ilst", b"")):
        boxes = dict(_boxes(item))
        name, value = _name(place, boxes, names), boxes.get(b"data", b"")
        if name and len(value) >= _HEAD and int.from_bytes(value[:4], "big") == _TEXT:
            found[name] = value[_HEAD:].decode("utf-8", "replace")
    return found


def _name(place: bytes, boxes: Mapping[bytes, bytes], names: Sequence[str]) -> str:
    """Return a tag's name: by its four letters, by a name of its own, or by its number among `keys`."""
    number = int.from_bytes(place, "big")
    if 1 <= number <= len(names):
        return names[number - 1]
    if place == b"----":
        return boxes.get(b"name", b"")[4:].decode("utf-8", "replace")
    return _LETTERS.get(place, "")


def _inside(content: bytes, *path: bytes) -> bytes:
    for name in path:
        content = dict(_boxes(content)).get(name, b"")
    return content


def _boxes(content: bytes, *, skip_version: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of the boxes in a box; stop at one with an impossible size."""
    place = 0
    if skip_version and content[4:8] not in (b"hdlr", b"keys", b"ilst"):
        place = 4  # ISO's `meta` begins with version and flags, QuickTime's does not
    for _ in range(MOST_TAGS):
        if place + _HEAD > len(content):
            return
        size, kind = struct.unpack_from(">I4s", content, place)
        start = place + _HEAD
        if size == 1 and start + 8 <= len(content):
            (size,) = struct.unpack_from(">Q", content, start)
            start += 8
        end = len(content) if size == 0 else place + size
        if end < start or (kind == b"moov" and end - start > MOST_INDEX):
            return
        if end > len(content):
            return  # cut off
        yield kind, content[start:end]
        place = end


def _keys(content: bytes) -> Iterator[str]:
    """Yield the names of a `keys` box: version and flags, count, then size, namespace and name of each."""
    if len(content) < _HEAD:
        return
    count = min(int.from_bytes(content[4:8], "big"), MOST_TAGS)
    place = _HEAD
    for _ in range(count):
        size = int.from_bytes(content[place : place + 4], "big")
        if size < _HEAD or place + size > len(content):
            return
        yield content[place + _HEAD : place + size].decode("utf-8", "replace")
        place += size
