"""Metadata: what a prompt file says of a row beside what to render. It stays with the job and decides nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from reelmill_common.errors import InvalidDocument, InvalidJob
from reelmill_common.text.untrusted_json import read_object

MOST_NAMES = 32
MOST_BYTES = 4096
"""Most bytes of a job's names and values as UTF-8: they are in Redis beside the job."""

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Refuse more metadata than a job may have.

    Raises:
        InvalidJob: There are too many names or bytes.
    """
    if len(metadata) > MOST_NAMES:
        raise InvalidJob(
            f"{len(metadata)} columns would be kept as metadata; use at most {MOST_NAMES}, ignore the rest"
        )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > MOST_BYTES:
        longest = max(metadata, key=lambda name: len(metadata[name]))
        raise InvalidJob(
            f"its metadata has {size:,} bytes, and at most {MOST_BYTES:,} are kept beside a job; ignore {longest!r}, "
            "which is the longest"
        )


def metadata_text(value: object) -> str:
    """Return a value as text: a list of plain values with commas between them, other structures as JSON."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in cast("list[object]", value)):
        return ", ".join(map(metadata_text, cast("list[object]", value)))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(" ", text).strip()


def to_json(metadata: Mapping[str, str]) -> str:
    """Return metadata in the ledger's form; empty if there is none."""
    return json.dumps(dict(metadata), ensure_ascii=False, separators=(",", ":")) if metadata else ""


def from_json(text: str | None) -> dict[str, str]:
    """Read what `to_json` wrote; damaged text gives nothing, since metadata must not hold a job back."""
    try:
        found = read_object(text, "a job's metadata") if text else {}
    except InvalidDocument:
        return {}
    return {name: value if isinstance(value, str) else metadata_text(value) for name, value in found.items()}
