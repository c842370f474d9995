"""Reads an untrusted file in a process of its own, with limits: native code that fails takes nothing else with it.

Started as `python -m reelmill_producer.verification.reader`, with a request on stdin; the answer is JSON on stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reelmill_producer.verification.manifest_box import has_manifest, manifest_box, media_type

MOST_MEMORY = 3 << 30
"""Bytes of address space that a reader may have."""
MOST_CPU_S = 60
MOST_FRAMES = 20_000
KEPT = 24
"""Frames of a copy that are hashed at most; with more, every second one is dropped, again and again."""
MOST_SIDE = 8192
_PAD = b"\x63pad"
MOST_MANIFEST = 1 << 24
MOST_RECIPE = 1 << 20
"""Characters of a recipe that are shown."""
MOST_TEXT = 1000


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

    kind = media_type(path)
    if not kind:
        return {"state": "broken", "error": "its first bytes are damaged"} if has_manifest(path) else {"state": "none"}
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
        name = type(err).__name__.strip("_")
        why = f"{name}: {str(err)[:300]}"
        if has_manifest(path):
            return {"state": "broken", "error": why}
        return {"state": "none", "error": "" if name.endswith("ManifestNotFound") else why}


def frame_looks(path: Path) -> dict[str, Any]:
    """Return the hashes of a video's or a picture's frames as hexadecimal words, by how they are looked at."""
    from av.error import FFmpegError  # noqa: PLC0415 - as above

    from reelmill_common.provenance.recognition import looks  # noqa: PLC0415 - as above

    try:
        pictures = list(sample(path))
        views = looks(pictures) if pictures else {}
    except (FFmpegError, OSError, ValueError, IndexError, MemoryError) as err:
        return {"frames": 0, "looks": {}, "error": f"{type(err).__name__}: {str(err)[:200]}"}
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
    """Return what counts of a manifest. Its signer has chosen the form of its assertions."""
    manifest = document.get("manifests", {}).get(document.get("active_manifest", ""), {})
    results = document.get("validation_results", {}).get("activeManifest", {})
    signed = manifest.get("signature_info", {})
    generator = _dicts(manifest.get("claim_generator_info"))[:1] or [{}]
    assertions = {str(item.get("label", "")): item.get("data") for item in _dicts(manifest.get("assertions"))}
    actions = assertions.get("c2pa.actions.v2") or assertions.get("c2pa.actions")
    taken = _dicts(actions.get("actions")) if isinstance(actions, dict) else []
    recipe = assertions.get("org.reelmill.recipe")
    return {
        "state": state.lower(),
        "failures": [_text(item.get("code")) for item in _dicts(results.get("failure"))][:50],
        "signer": _text(signed.get("common_name")),
        "issuer": _text(signed.get("issuer")),
        "time": _text(signed.get("time")),
        "generator": " ".join(_text(generator[0].get(name)) for name in ("name", "version")).strip(),
        "title": _text(manifest.get("title")),
        "source_type": next((_text(item["digitalSourceType"]) for item in taken if "digitalSourceType" in item), ""),
        "recipe": recipe if len(json.dumps(recipe)) <= MOST_RECIPE else None,
    }


def _text(value: object) -> str:
    return value[:MOST_TEXT] if isinstance(value, str) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def sample(path: Path) -> Iterator[Any]:
    """Yield the brightness of frames from all over a file, (height, width) uint8."""
    import av  # noqa: PLC0415 - as above

    kept: list[Any] = []
    step = 1
    # A playlist names other files: only this one is opened, by us, and FFmpeg knows no protocol for another.
    with path.open("rb") as file, av.open(file, "r", options={"protocol_whitelist": "none"}) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for number, frame in enumerate(container.decode(stream)):
            if number >= MOST_FRAMES or max(frame.width, frame.height) > MOST_SIDE:
                break
            if number % step:
                continue
            height, width = kept[0].shape if kept else (frame.height, frame.width)  # a stream may change its size
            kept.append(frame.reformat(width=width, height=height, format="gray").to_ndarray())
            if len(kept) >= 2 * KEPT:
                kept, step = kept[::2], 2 * step
    # The ends of a clip are the least like any frame that was hashed.
    yield from (kept[(2 * part + 1) * len(kept) // (2 * KEPT)] for part in range(KEPT)) if len(kept) > KEPT else kept


def _is_padding_empty(path: Path) -> bool:
    """Whether the room that was left behind a signature holds zeros only, as C2PA has it; nothing else looks at it."""
    content = manifest_box(path, MOST_MANIFEST)
    place = content.find(_PAD, content.rfind(b"c2pa.signature")) + len(_PAD)
    kind = content[place : place + 1]  # CBOR: a byte string with its length in one byte, in two, or in the kind itself
    if place < len(_PAD) or not kind:
        return True
    size, start = kind[0] & 0x1F, place + 1
    if size in (24, 25):
        wide = size - 23
        size, start = int.from_bytes(content[start : start + wide], "big"), start + wide
    return kind[0] >> 5 == 2 and not any(content[start : start + size])


if __name__ == "__main__":
    main()
