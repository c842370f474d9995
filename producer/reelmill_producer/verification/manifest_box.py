"""Where a C2PA manifest lies in a file that may hold anything: found by bytes alone, without c2pa."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Type of the `uuid` box that holds a manifest in an MP4."""
C2PA_STORE = bytes.fromhex("6332706100110010800000aa00389b71")
"""Type of a store of manifests in JUMBF (ISO 19566-5), which pictures and MP4s have alike."""
MOST_BOXES = 100_000
MOST_SEARCHED = 1 << 30
PIECE_BYTES = 1 << 20
_HEAD = 8
_LARGE = 16


def manifest_box(path: Path, most_bytes: int) -> bytes:
    """Return the content of an MP4's manifest box, cut off after some bytes; empty if it has none."""
    with path.open("rb") as stream:
        size = _find(stream)
        return stream.read(min(size, most_bytes)) if size > 0 else b""


def has_manifest(path: Path) -> bool:
    """Whether a file has, or had before it was damaged, a manifest.

    In an MP4 it is a box between boxes; where these are damaged, and in a picture, its type somewhere in the file
    counts. Other files, such as an archive with a signed clip in it, have none.
    """
    with path.open("rb") as stream:
        if _find(stream) > 0:
            return True
    return bool(media_type(path)) and _holds(path, (C2PA_BOX, C2PA_STORE))


def media_type(path: Path) -> str:
    """Return the media type that a file's first bytes say; empty if it is of none that can be signed here."""
    with path.open("rb") as stream:
        head = stream.read(16)
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    kinds = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), "")


def _find(stream: BinaryIO) -> int:
    """Go to the content of the first box of a manifest, and return its bytes; 0 if there is none."""
    place = 0
    for _ in range(MOST_BOXES):
        stream.seek(place)
        head = stream.read(_LARGE + len(C2PA_BOX))
        size, start = int.from_bytes(head[:4], "big"), _HEAD
        if size == 1:
            size, start = int.from_bytes(head[_HEAD:_LARGE], "big"), _LARGE
        end = start + len(C2PA_BOX)
        if head[4:_HEAD] == b"uuid" and head[start:end] == C2PA_BOX:
            stream.seek(place + end)
            return max(1, size - end) if size else MOST_SEARCHED
        if size < start:  # 0: it is the last one; else it is damaged
            return 0
        place += size
        if place >= 1 << 62:
            return 0
    return 0


def _holds(path: Path, types: tuple[bytes, ...]) -> bool:
    kept, searched = b"", 0
    with path.open("rb") as stream:
        while searched < MOST_SEARCHED and (piece := stream.read(PIECE_BYTES)):
            if any(one in kept + piece for one in types):
                return True
            kept, searched = piece[-len(C2PA_BOX) :], searched + len(piece)
    return False
