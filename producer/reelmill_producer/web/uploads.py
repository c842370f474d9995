"""Uploads: the body of a request as a prompt file on disk, in its format."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from fastapi import Request

from reelmill_producer.prompts.formats import Format
from reelmill_producer.web.problems import Refusal

MEMORY_BYTES = 1 << 20
"""Bytes of a body that are kept in memory; a longer one goes to a temporary file."""

FILES: Mapping[str, tuple[Format, str]] = {
    "text/plain": ("txt", "upload.txt"),
    "text/csv": ("csv", "upload.csv"),
    "text/tab-separated-values": ("csv", "upload.tsv"),
    "application/x-ndjson": ("jsonl", "upload.jsonl"),
    "application/jsonl": ("jsonl", "upload.jsonl"),
    "application/yaml": ("yaml", "upload.yaml"),
    "application/x-yaml": ("yaml", "upload.yaml"),
    "text/yaml": ("yaml", "upload.yaml"),
}
"""Format and stand-in name of a file by its media type."""
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A prompt file that a request brought.

    Attributes:
        stream: Its content, at the beginning.
        policy: The policy that a body of JSON brought.
        digest: Hash of the body.
    """

    stream: IO[bytes]
    name: str
    form: Format
    policy: Mapping[str, Any]
    digest: str


@asynccontextmanager
async def uploaded(request: Request) -> AsyncGenerator[Upload]:
    """Give the body of a request as a prompt file.

    Raises:
        Refusal: 415: its type is not known; 422: its JSON is not rows.
    """
    kind = _known_type(request)
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as spool:
        if kind == JSON:
            body = await request.body()
            digest.update(body)
            rows, policy = _rows_of(body)
            for row in rows:
                spool.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            spool.seek(0)
            yield Upload(stream=spool, name="rows", form="jsonl", policy=policy, digest=digest.hexdigest())
            return
        form, name = FILES[kind]
        async for piece in request.stream():
            digest.update(piece)
            spool.write(piece)
        spool.seek(0)
        yield Upload(stream=spool, name=name, form=form, policy={}, digest=digest.hexdigest())


def media_type(text: str) -> str:
    """Return the media type in a `Content-Type`, in small letters and without parameters; empty if there is none."""
    return text.partition(";")[0].strip().lower()


def _known_type(request: Request) -> str:
    kind = media_type(request.headers.get("content-type", ""))
    if kind != JSON and kind not in FILES:
        raise Refusal(415, f"Content-Type {kind[:60]!r} is not known; use one of {', '.join((JSON, *FILES))}")
    return kind


def _rows_of(body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the rows and the policy in a body: an object with both, or a list of rows alone."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise Refusal(422, f"the body is not JSON ({str(err)[:200]})") from None
    given: Mapping[str, Any] = {"rows": value} if isinstance(value, list) else value if isinstance(value, dict) else {}
    rows, policy = given.get("rows"), given.get("policy") or {}
    unknown = sorted(set(given) - {"rows", "policy"})
    if not isinstance(rows, list) or not isinstance(policy, dict) or unknown:
        raise Refusal(
            422,
            'the body is not {"rows": […], "policy": {…}}; a row is a prompt, or an object with its columns',
        )
    return rows, policy
