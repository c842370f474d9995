"""The fingerprints of a batch as one object beside it, `fingerprints/BATCH.idx`, made from the manifests of its clips.

It can be made again at any time. Layout: magic, length of the header, header (JSON), 256 bytes for each clip, and the
keys of the clips, one a line, compressed by zlib.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from reelmill_common.errors import InvalidDocument, NotFound, ObjectTooLarge
from reelmill_common.recipe import MarkFacts, read_manifest
from reelmill_common.storage import ClipStore
from reelmill_common.storage.keys import beside, check_key
from reelmill_common.text.untrusted_json import MOST_BYTES, read_object

FOLDER = "fingerprints"
"""Begins the keys of indexes, so that a batch's own folder holds only clips."""
MAGIC = b"RMFP1\n"
CLIP_BYTES = 256
MOST_SIGNATURES = 5000
AT_ONCE = 8
"""Manifests that are read at the same time."""
_LENGTH = struct.Struct("<I")
_MOST_HEADER = 4096
_KEY_BYTES = 600
"""More than any key has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeIndex:
    """An index that was written.

    Attributes:
        key: Its key in the store.
        counts: Clips by the signature that their manifest names; `unknown`: it names none.
        fingerprints: Clips in the index.
        signatures: These signatures by the key of the clip, of the first clips.
    """

    key: str
    counts: Mapping[str, int]
    fingerprints: int
    signatures: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchIndex:
    """The fingerprints of some clips, 256 bytes each, and their keys, one a line."""

    hashes: bytes
    keys: bytes

    def __len__(self) -> int:
        return len(self.hashes) // CLIP_BYTES

    def key(self, place: int) -> str:
        """Return the key of a clip by its place."""
        return next(islice(self.keys.decode("ascii", "replace").split("\n"), place, None), "")


def make_index(clips: Iterable[str], store: ClipStore, batch: str) -> MadeIndex:
    """Write the index of a batch from the manifests of its clips; nothing is written if none has a fingerprint.

    Args:
        clips: Keys of its MP4s.
        store: Where they are.
        batch: Its name.

    Raises:
        StoreError: The store refuses it.
    """
    counts: Counter[str] = Counter()
    hashes, keys, signatures = bytearray(), list[str](), dict[str, str]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fingerprints") as readers:
        for some in _blocks(clips, 64 * AT_ONCE):
            for key, marks in zip(some, readers.map(lambda key: _marks(store, key), some), strict=True):
                signature = marks.signature if marks else "unknown"
                counts[signature] += 1
                if len(signatures) < MOST_SIGNATURES:
                    signatures[key] = signature
                if content := _content(marks):
                    hashes += content
                    keys.append(key)
    place = f"{FOLDER}/{batch}.idx"
    if keys:
        content = write_index(bytes(hashes), keys, {"batch": batch})
        store.put(place, content, content_type="application/octet-stream", replace=True)
    return MadeIndex(key=place, counts=dict(counts), fingerprints=len(keys), signatures=signatures)


def write_index(hashes: bytes, keys: Iterable[str], facts: Mapping[str, object]) -> bytes:
    """Return an index: 256 bytes for each of the keys, in their order."""
    header = json.dumps({"version": 1, **facts}, sort_keys=True).encode()
    names = zlib.compress("\n".join(keys).encode(), 6)
    size = _LENGTH.pack(len(hashes) // CLIP_BYTES)
    return b"".join((MAGIC, _LENGTH.pack(len(header)), header, size, hashes, names))


def read_index(content: bytes) -> BatchIndex:
    """Read an index from the store, which may hold anything under its key. Raises `InvalidDocument`."""
    header_bytes, start = _number(content, len(MAGIC)) if content.startswith(MAGIC) else (_MOST_HEADER + 1, 0)
    if header_bytes > _MOST_HEADER:
        raise InvalidDocument("an index of fingerprints does not begin as ours do")
    read_object(content[start : start + header_bytes], "the header of an index of fingerprints")
    clips, begin = _number(content, start + header_bytes)
    end = begin + clips * CLIP_BYTES
    if end > len(content):
        raise InvalidDocument(f"an index of fingerprints is cut off: it names {clips} clips")
    try:
        keys = zlib.decompressobj().decompress(content[end:], clips * _KEY_BYTES + 1)
    except zlib.error as err:
        raise InvalidDocument(f"an index of fingerprints is damaged: {err}") from err
    if clips and keys.count(b"\n") + 1 != clips:
        raise InvalidDocument(f"an index of fingerprints is damaged: it names {clips} clips, and not as many keys")
    return BatchIndex(hashes=content[begin:end], keys=keys)


def _number(content: bytes, place: int) -> tuple[int, int]:
    end = place + _LENGTH.size
    if end > len(content):
        raise InvalidDocument("an index of fingerprints is cut off")
    return int(_LENGTH.unpack_from(content, place)[0]), end


def _marks(store: ClipStore, key: str) -> MarkFacts | None:
    """Return what the manifest of a clip says of its marks; None if it says nothing, or is not there."""
    try:
        check_key(key)
        return read_manifest(store.get(beside(key, ".json"), most_bytes=MOST_BYTES)).clip.marks
    except (NotFound, ObjectTooLarge, InvalidDocument):
        return None


def _content(marks: MarkFacts | None) -> bytes:
    try:
        content = base64.b64decode(marks.fingerprint, validate=True) if marks else b""
    except binascii.Error:
        return b""
    return content if len(content) == CLIP_BYTES else b""


def _blocks(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    items = iter(keys)
    while block := list(islice(items, size)):
        yield block
