r"""The text of a prompt file as UTF-8 with `\n`, whatever the program that wrote it uses, in constant memory.

UTF-16 is known by its mark, or by the zero bytes beside the ASCII that a file begins with; line ends of old Macs by a
beginning without any other. Windows-1252 is decided line by line (`prompt_lines`).
"""

from __future__ import annotations

import codecs
import io
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
_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or an archive (zip)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
)


def as_utf8(stream: IO[bytes], notes: Notes) -> IO[bytes]:
    r"""Return a stream's text as UTF-8 without a mark.

    Args:
        stream: Is read once.
        notes: Get what was assumed.

    Raises:
        InvalidPromptFile: It is no text at all; also when it is read, if it is damaged UTF-16.
    """
    sample = stream.read(SAMPLE_BYTES)
    for magic, what in _OTHERS:
        if sample.startswith(magic):
            raise InvalidPromptFile(f"the file is {what}, not text; save the list as CSV in UTF-8")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if sample.startswith(mark)), (b"", ""))
    encoding = encoding or _unmarked(sample)
    wide = encoding not in ("", "utf-8")
    if wide:
        notes.add(f"read as {encoding[:6].upper()}")
    begun = sample[len(mark) :]
    return io.BufferedReader(_Text(begun, stream, encoding if wide else "", notes))


def _unmarked(sample: bytes) -> str:
    """Return the encoding of UTF-16 without a mark, or an empty string: what begins with ASCII has zeros beside it."""
    start = sample[:_ZEROS_BYTES]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd * 6 >= len(start) and not even:
        return "utf-16-le"
    return "utf-16-be" if even * 6 >= len(start) and not odd else ""


class _Text(io.RawIOBase):
    """Bytes of another encoding, or with other line ends, as they would be in UTF-8."""

    def __init__(self, sample: bytes, stream: IO[bytes], encoding: str, notes: Notes) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        self._stream = stream
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
        if self._decoder is None:
            return piece
        try:
            return self._decoder.decode(piece, final).encode()
        except UnicodeDecodeError as err:
            raise InvalidPromptFile(
                f"the file begins as {self._encoding[:6].upper()} and is none ({err.reason}); save it as UTF-8"
            ) from err
