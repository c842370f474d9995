"""Reads an untrusted file in a process of its own, with limits: native code that fails takes nothing else with it.

Started as `python -m reelmill_producer.verification.reader`, with a request on stdin; the answer is JSON on stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_MEMORY = 3 << 30
"""Bytes of address space that a reader may have."""
MOST_CPU_S = 60
MOST_FRAMES = 20_000
KEPT = 24
"""Frames of a copy that are hashed at most; with more, every second one is dropped, again and again."""
MOST_SIDE = 8192
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Type of the `uuid` box that holds a C2PA manifest."""
_HEAD = 1 << 20
_PAD = b"\x63pad"
_KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def main() -> None:
    """Answer one request: `{"path": …, "task": "signature" | "looks", "anchors": PEM}`."""
    _limit()
    request = json.load(sys.stdin)
    path = Path(request["path"])
    answer = signature(path, request.get("anchors", "")) if request["task"] == "signature" else frame_looks(path)
    json.dump(answer, sys.stdout)


def signature(path: Path, anchors: str) -> dict[str, Any]:
    """Return what a file's manifest says, and what is wrong with it.

    Args:
        path: The file.
        anchors: PEM of the authorities that are trusted; empty: none is.
    """
    import c2pa  # noqa: PLC0415 - after the limits, and in this process only

    kind = _kind(path)
    if not kind:
        return {"state": "none"}
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        **({"trust": {"trust_anchors": anchors}} if anchors else {}),
    }
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            path.open("rb") as stream,
            c2pa.Reader(kind, stream, context=context) as reader,
        ):
            facts = _facts(json.loads(reader.json()), str(reader.get_validation_state()))
            return facts if _is_padding_empty(path) else {**facts, "failures": [*facts["failures"], "padding"]}
    except c2pa.C2paError as err:
        if type(err).__name__.endswith("ManifestNotFound") and not _has_manifest(path):
            return {"state": "none"}
        state = "broken" if _has_manifest(path) else "none"
        return {"state": state, "error": f"{type(err).__name__.strip('_')}: {str(err)[:300]}"}


def frame_looks(path: Path) -> dict[str, Any]:
    """Return the hashes of a video's or a picture's frames as hexadecimal words, by how they are looked at."""
    from reelmill_common.provenance.recognition import looks  # noqa: PLC0415 - as above

    try:
        pictures = list(sample(path))
    except (OSError, ValueError, IndexError) as err:
        return {"frames": 0, "looks": {}, "error": f"{type(err).__name__}: {str(err)[:200]}"}
    views = looks(pictures) if pictures else {}
    return {
        "frames": len(pictures),
        "looks": {name: [[int(word) for word in one] for one in hashes] for name, hashes in views.items()},
    }


def _limit() -> None:
    if sys.platform == "win32":
        return  # which has no such limits; `sandbox` ends a reader that takes too long
    import resource  # noqa: PLC0415 - POSIX only

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _facts(document: dict[str, Any], state: str) -> dict[str, Any]:
    manifest = document.get("manifests", {}).get(document.get("active_manifest", ""), {})
    results = document.get("validation_results", {}).get("activeManifest", {})
    signed = manifest.get("signature_info", {})
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    assertions = {item.get("label", ""): item.get("data") for item in manifest.get("assertions", [])}
    actions = (assertions.get("c2pa.actions.v2") or assertions.get("c2pa.actions") or {}).get("actions", [])
    return {
        "state": state.lower(),
        "failures": [item.get("code", "") for item in results.get("failure", [])][:50],
        "signer": signed.get("common_name", ""),
        "issuer": signed.get("issuer", ""),
        "time": signed.get("time", ""),
        "generator": " ".join(str(generator.get(name, "")) for name in ("name", "version")).strip(),
        "title": manifest.get("title", ""),
        "source_type": next((item.get("digitalSourceType", "") for item in actions if isinstance(item, dict)), ""),
        "recipe": assertions.get("org.reelmill.recipe"),
    }


def sample(path: Path) -> Iterator[Any]:
    """Yield the brightness of frames from all over a file, (height, width) uint8."""
    import av  # noqa: PLC0415 - as above

    kept: list[Any] = []
    step = 1
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for number, frame in enumerate(container.decode(stream)):
            if number >= MOST_FRAMES or max(frame.width, frame.height) > MOST_SIDE:
                break
            if number % step:
                continue
            kept.append(frame.to_ndarray(format="gray"))
            if len(kept) >= 2 * KEPT:
                kept, step = kept[::2], 2 * step
    # The ends of a clip are the least like any frame that was hashed.
    yield from (kept[(2 * part + 1) * len(kept) // (2 * KEPT)] for part in range(KEPT)) if len(kept) > KEPT else kept


def _kind(path: Path) -> str:
    """Return the media type that a file's first bytes say; empty if it is of none that can be signed here."""
    with path.open("rb") as stream:
        head = stream.read(16)
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), "")


def _is_padding_empty(path: Path) -> bool:
    """Whether the room that was left behind a signature holds zeros only, as C2PA has it; nothing else looks at it."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    place = head.find(_PAD, head.rfind(b"c2pa.signature"))
    if place < 0:
        return True
    kind = head[place + len(_PAD)]  # CBOR: a byte string with its length in one byte, in two, or in the kind itself
    size, start = kind & 0x1F, place + len(_PAD) + 1
    if size in (24, 25):
        wide = size - 23
        size, start = int.from_bytes(head[start : start + wide], "big"), start + wide
    return kind >> 5 != 2 or not any(head[start : start + size])


def _has_manifest(path: Path) -> bool:
    with path.open("rb") as stream:
        return C2PA_BOX in stream.read(_HEAD)


if __name__ == "__main__":
    main()
