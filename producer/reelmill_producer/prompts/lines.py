"""Lines of an untrusted file: bounded in length and decoded one by one, so that a bad line does not hide the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from reelmill_producer.prompts.notes import Notes

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


def read_lines(stream: IO[bytes], notes: Notes) -> Iterator[TextLine | BadLine]:
    r"""Yield the lines of a stream of UTF-8 or Windows-1252; `\n` and `\r\n` end them.

    At most `MAX_LINE_BYTES` are in memory at once, however long a line is.

    Args:
        stream: A stream without a byte order mark, see `utf8.as_utf8`.
        notes: Gets a note if it is Windows-1252.
    """
    number, decoder = 0, _Decoder(notes=notes)
    while raw := stream.readline(MAX_LINE_BYTES + 2):
        number += 1
        if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            size = _size_of_line(stream, raw)
            yield BadLine(
                line=number, reason=f"the line has {size:,} bytes; use at most {MAX_LINE_BYTES:,}, and one job a line"
            )
        else:
            yield decoder.decoded(number, raw.removesuffix(b"\n").removesuffix(b"\r"))


def _size_of_line(stream: IO[bytes], piece: bytes) -> int:
    """Read an overlong line to its end without keeping it; return its size in bytes without the line end."""
    size = len(piece)
    while not piece.endswith(b"\n"):
        piece = stream.readline(MAX_LINE_BYTES)
        if not piece:
            return size
        size += len(piece)
    return size - 1


@dataclass(slots=True, kw_only=True)
class _Decoder:
    """Decodes lines as UTF-8 or, from the first that is not, as Windows-1252: a file is one or the other.

    Attributes:
        utf8: The first line that was certainly UTF-8; 0 if none was.
        western: The line from which the file is read as Windows-1252; 0 if it is not.
    """

    notes: Notes
    utf8: int = 0
    western: int = 0

    def decoded(self, number: int, raw: bytes) -> TextLine | BadLine:
        if (place := raw.find(b"\0")) >= 0:
            return BadLine(
                line=number, reason=f"byte {place + 1} is a NUL byte; a prompt file is plain text, remove it"
            )
        if raw.isascii():
            return TextLine(line=number, text=raw.decode("ascii"))
        try:
            text = raw.decode()
        except UnicodeDecodeError as err:
            reason = f"byte {err.start + 1} (0x{raw[err.start]:02x}) is not UTF-8"
            return self._western(number, raw, reason)
        if self.western:
            return BadLine(
                line=number, reason=f"is UTF-8, and line {self.western} is not; save the whole file as UTF-8"
            )
        self.utf8 = self.utf8 or number
        return TextLine(line=number, text=text)

    def _western(self, number: int, raw: bytes, reason: str) -> TextLine | BadLine:
        if self.utf8:
            return BadLine(line=number, reason=f"{reason}, as line {self.utf8} is; save the whole file as UTF-8")
        if _EXOTIC.search(raw) or not _ASCII_WORD.search(raw):
            return BadLine(line=number, reason=f"{reason}; save the file as UTF-8")
        self.western = self.western or number
        self.notes.add(
            "read as Windows-1252 (Western European), since it is not UTF-8; check whether the letters are right"
        )
        return TextLine(line=number, text=raw.decode("cp1252"))


_EXOTIC = re.compile(rb"[\x81\x8d\x8f\x90\x9d]|[\xc0-\xff]{3}")
"""Bytes that Windows-1252 lacks, or no Western language has: other scripts are runs of bytes above 0xc0."""
_ASCII_WORD = re.compile(rb"[A-Za-z]")
