"""Lines of an untrusted file: bounded in length and decoded one by one, so that a bad line does not hide the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from reelmill_common.errors import InvalidPromptFile

MAX_LINE_BYTES = 131_072
"""8,192 characters of prompt take at most 12 bytes each as JSON escapes; the rest is for the other fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that cannot become a job, with the reason and what to do about it.

    Attributes:
        line: Counted from 1.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A decoded line without its line end.

    Attributes:
        line: Counted from 1.
    """

    line: int
    text: str


def read_lines(stream: IO[bytes]) -> Iterator[TextLine | BadLine]:
    r"""Yield the lines of a UTF-8 stream; `\n` and `\r\n` end them, a byte order mark is dropped.

    At most `MAX_LINE_BYTES` are in memory at once, however long a line is.

    Raises:
        InvalidPromptFile: The file is UTF-16, of which no line could be read.
    """
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 2):
        number += 1
        if number == 1:
            raw = _without_mark(raw)
        if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            size = _size_of_line(stream, raw)
            yield BadLine(
                line=number, reason=f"the line has {size:,} bytes; use at most {MAX_LINE_BYTES:,}, and one job a line"
            )
        else:
            yield _decoded(number, raw.removesuffix(b"\n").removesuffix(b"\r"))


def _without_mark(raw: bytes) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidPromptFile("the file is UTF-16; save it as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _size_of_line(stream: IO[bytes], piece: bytes) -> int:
    """Read an overlong line to its end without keeping it; return its size in bytes without the line end."""
    size = len(piece)
    while not piece.endswith(b"\n"):
        piece = stream.readline(MAX_LINE_BYTES)
        if not piece:
            return size
        size += len(piece)
    return size - 1


def _decoded(number: int, raw: bytes) -> TextLine | BadLine:
    if (place := raw.find(b"\0")) >= 0:
        return BadLine(line=number, reason=f"byte {place + 1} is a NUL byte; a prompt file is plain text, remove it")
    try:
        return TextLine(line=number, text=raw.decode())
    except UnicodeDecodeError as err:
        return BadLine(
            line=number,
            reason=f"byte {err.start + 1} (0x{raw[err.start]:02x}) is not UTF-8; save the file as UTF-8",
        )
