r"""The text of a prompt file as UTF-8 with `\n`, whatever the program that wrote it uses, in constant memory.

UTF-16 is recognised by its mark, or by the zero bytes beside the ASCII at the beginning of a file; line ends of old
Macs by a beginning without others. Windows-1252 is decided line by line (`lines`).
"""

from __future__ import annotations

import codecs
import io
import re
from typing import IO

from reelmill_common.errors import InvalidPromptFile
from reelmill_producer.prompts.notes import Notes

SAMPLE_BYTES = 16_384
_ZEROS_BYTES = 64
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_SAVE = "not text; save the list as CSV in UTF-8"
_OTHERS = (
    (rb"PK\x03\x04", f"a spreadsheet or an archive (zip), {_SAVE}"),
    (rb"\xd0\xcf\x11\xe0", f"an old Excel file, {_SAVE}"),
    (rb"\x1f\x8b", f"compressed (gzip), {_SAVE}"),
    (rb"PAR1", f"a Parquet file, {_SAVE}"),
    (rb"%PDF", f"a PDF, {_SAVE}"),
    (rb"(\xef\xbb\xbf)?\s*<(?i:(!doctype\s+)?html)\b", "a web page, not a list; download the file that the page shows"),
    (rb"version https://git-lfs\.github\.com/spec/", "a pointer of Git LFS, not the list; get it with git lfs pull"),
)
"""Beginnings of files that are not prompts, and what to do."""
_END = b"\x1a"
"""Ctrl-Z, with which programs of DOS end a text."""


def as_utf8(stream: IO[bytes], notes: Notes) -> IO[bytes]:
    r"""Return a stream's text as UTF-8 without a mark.

    Raises:
        InvalidPromptFile: It is not text; damaged UTF-16 raises while it is read.
    """
    sample = stream.read(SAMPLE_BYTES)
    if what := what_else(sample):
        raise InvalidPromptFile(f"the file is {what}")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if sample.startswith(mark)), (b"", ""))
    encoding = encoding or _unmarked(sample)
    wide = encoding not in ("", "utf-8")
    if wide:
        notes.add(f"read as {encoding[:6].upper()}")
    begun = sample[len(mark) :]
    return io.BufferedReader(_Text(begun, stream, encoding if wide else "", notes))


def what_else(sample: bytes) -> str:
    """Return what else than prompts a file is that begins like this, and what to do; empty if it may be prompts."""
    return next((what for magic, what in _OTHERS if re.match(magic, sample)), "")


def _unmarked(sample: bytes) -> str:
    """Return the encoding of UTF-16 without a mark, else an empty string: ASCII has zero bytes beside it."""
    start = sample[:_ZEROS_BYTES]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd * 6 >= len(start) and not even:
        return "utf-16-le"
    return "utf-16-be" if even * 6 >= len(start) and not odd else ""


class _Text(io.RawIOBase):
    """Bytes of another encoding, or with other line ends, converted to UTF-8."""

    def __init__(self, sample: bytes, stream: IO[bytes], encoding: str, notes: Notes) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        self._stream = stream
        self._held = b""
        self._ready = self._decoded(sample, final=False)
        self._is_old_mac = b"\r" in self._ready[:-1] and b"\n" not in self._ready
        if self._is_old_mac:
            notes.add("read with carriage returns as line ends, as old Macs write them")
            self._ready = self._ready.replace(b"\r", b"\n")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        while not self._ready:
            piece = self._stream.read(SAMPLE_BYTES)
            self._ready = self._decoded(piece, final=not piece)
            if self._is_old_mac:
                self._ready = self._ready.replace(b"\r", b"\n")
            if not piece:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _decoded(self, piece: bytes, *, final: bool) -> bytes:
        """Return the text of a piece. Ctrl-Z at its end is kept back until more follows."""
        text = self._utf8(piece, final=final)
        if not text:
            return b""
        text = self._held + text
        begun = text.rstrip(_END)
        self._held = text[len(begun) :]
        if len(self._held) > SAMPLE_BYTES:
            begun, self._held = text, b""
        return begun

    def _utf8(self, piece: bytes, *, final: bool) -> bytes:
        if self._decoder is None:
            return piece
        try:
            return self._decoder.decode(piece, final).encode()
        except UnicodeDecodeError as err:
            raise InvalidPromptFile(
                f"the file begins as {self._encoding[:6].upper()} but is not valid ({err.reason}); save it as UTF-8"
            ) from err
