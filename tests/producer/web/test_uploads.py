"""Uploads: bodies of requests become prompt files on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message

from reelmill_producer.web import uploads
from reelmill_producer.web.problems import Refusal
from reelmill_producer.web.uploads import uploaded


def request(kind: str, pieces: Iterable[bytes]) -> Request:
    """Return a request whose body comes in pieces."""
    rest = iter([*pieces, b""])

    async def receive() -> Message:
        piece = next(rest)
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    return Request({"type": "http", "method": "PUT", "headers": [(b"content-type", kind.encode())]}, receive)


def read(kind: str, *pieces: bytes) -> tuple[Any, bytes]:
    async def run() -> tuple[Any, bytes]:
        async with uploaded(request(kind, pieces)) as upload:
            return upload, upload.stream.read()

    return asyncio.run(run())


def test_a_large_body_goes_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MEMORY_BYTES", 10)

    upload, content = read("text/plain; charset=utf-8", b"a fox\n", b"an owl\n")

    assert content == b"a fox\nan owl\n"
    assert (upload.form, upload.name) == ("txt", "upload.txt")
    assert upload.stream._rolled


def test_rows_become_lines_and_keep_their_policy() -> None:
    upload, content = read(
        "application/json", b'{"rows": ["a fox\\nb", {"prompt": "\xc3\xa9"}], ', b'"policy": {"priority": 3}}'
    )

    assert content.decode() == '"a fox\\nb"\n{"prompt": "é"}\n'
    assert (upload.form, upload.policy) == ("jsonl", {"priority": 3})


def test_equal_bodies_have_equal_hashes() -> None:
    assert read("text/plain", b"a", b"b")[0].digest == read("text/csv", b"ab")[0].digest
    assert read("text/plain", b"ab")[0].digest != read("text/plain", b"ac")[0].digest


@pytest.mark.parametrize(("kind", "status"), [("", 415), ("image/png", 415), ("application/json", 422)])
def test_what_is_not_rows_is_refused(kind: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        read(kind, b"[" * 100_000)

    assert refused.value.status_code == status
