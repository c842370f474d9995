"""CSV and similar tables: the delimiter, the columns of the header, and the rows below it."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import IO

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_producer.prompts.columns import ALIASES, FIELDS, IGNORE, ColumnReading, Columns, is_unnamed, plain
from reelmill_producer.prompts.lines import BadLine, read_lines
from reelmill_producer.prompts.rows import Row

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEP = re.compile(r'"?sep=([,;|\t])"?[,;|\t]*', re.IGNORECASE)
"""A first line for Excel, which names the delimiter and is not shown."""
_WHOLE_CELL = re.compile(r'[^"].*|"([^"]|"")*"|')
_SENTENCE_WORDS = 4
_NAME_CHARS = 40


@dataclass(slots=True, kw_only=True)
class _Lines:
    """The lines of a table as the CSV reader gets them; a bad one is set aside and looks empty.

    Attributes:
        number: Number of the line that was read last.
        text: The text of that line.
    """

    stream: IO[bytes]
    reading: ColumnReading
    bad: list[BadLine] = field(default_factory=list[BadLine])
    number: int = 0
    text: str = ""

    def __iter__(self) -> Iterator[str]:
        for item in read_lines(self.stream, self.reading.notes):
            self.number = item.line
            if isinstance(item, BadLine):
                self.bad.append(item)
            self.text = "" if isinstance(item, BadLine) else item.text
            yield self.text + "\n"

    def drained(self) -> Sequence[BadLine]:
        taken = tuple(self.bad)
        self.bad.clear()
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    names: Sequence[str]
    columns: Columns
    delimiter: str


def csv_rows(stream: IO[bytes], reading: ColumnReading) -> Iterator[Row | BadLine]:
    """Yield the rows of a table; the first line that is not empty names the columns.

    Raises:
        InvalidPromptFile: The header has no prompts, or a column that is probably misspelt.
    """
    lines = _Lines(stream=stream, reading=reading)
    source = iter(lines)
    first, delimiter = _begin(source, reading)
    yield from lines.drained()
    header: _Header | None = None
    rest = chain([first], source)
    reader = csv.reader(
        _tab_lines(rest, first.count("\t")) if delimiter == "\t" else rest, strict=True, delimiter=delimiter
    )
    skipped = lines.number - 1
    while True:
        start = skipped + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as err:
            yield from lines.drained()
            yield BadLine(line=start, reason=_csv_reason(err, last=lines.number, start=start))
            if lines.number > start:  # an open quote has swallowed other rows: the rest is not rows
                return
            continue
        damaged = bool(lines.bad)
        yield from lines.drained()
        if cells is None:
            return
        if damaged or not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(cells, reading, delimiter)
        else:
            yield _csv_row(start, header, cells, reading, lines.text)


def _begin(source: Iterator[str], reading: ColumnReading) -> tuple[str, str]:
    """Return the header, which is the first line that is not empty, and its delimiter."""
    first = next((line for line in source if line.strip()), "")
    if found := _SEP.fullmatch(first.strip("\r\n ")):
        first = next((line for line in source if line.strip()), "")
        return first, found[1]
    if reading.tabs and "\t" in first:
        return first, "\t"
    known = _known_names() | reading.columns.keys()
    best, most = ("\t", (1, 1)) if reading.tabs else (",", (0, 1))
    for delimiter in _DELIMITERS:
        names = _cells(first, delimiter)
        score = (sum(name in known for name in names), len(names))
        if score > most and len(names) > 1:
            best, most = delimiter, score
    if best != ("\t" if reading.tabs else ","):
        reading.notes.add(f"read as {_DELIMITERS[best]}-separated")
    return first, best


def _known_names() -> set[str]:
    return {*FIELDS, *chain.from_iterable(ALIASES.values())}


def reads_like_header(line: str) -> bool:
    """Whether a line of a text file is the header of a table: it names a prompt column, unlike any prompt."""
    for delimiter in _DELIMITERS:
        names = [name for name in _cells(line, delimiter) if name]
        prompts = [name for name in names if name in ("prompt", *ALIASES["prompt"])]
        known = sum(name in _known_names() for name in names)
        if prompts and (known > 1 or any("prompt" in name for name in prompts)):
            return True
    return False


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [plain(cell) for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _tab_lines(lines: Iterator[str], tabs: int) -> Iterator[str]:
    """Quote cells that begin with a quote but are not quoted as a whole: the quote is part of the text there."""
    for line in lines:
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) == tabs + 1 and not all(map(_WHOLE_CELL.fullmatch, cells)):
            yield "\t".join(map(_quoted, cells)) + "\n"
        else:
            yield line


def _quoted(cell: str) -> str:
    return cell if _WHOLE_CELL.fullmatch(cell) else '"' + cell.replace('"', '""') + '"'


def _csv_reason(err: csv.Error, *, last: int, start: int) -> str:
    if str(err).startswith("new-line character"):
        return r"a carriage return stands inside the line; end lines with \n, or put the cell into quotes"
    if last > start:
        return (
            f"a quote is left open ({err}); close it. Lines {start} to {last} were taken for one, later ones not read"
        )
    return (
        f'not CSV ({err}); put a cell that holds a comma or quote into quotes, and double the quotes in it ("", not '
        '\\")'
    )


def _header(cells: Sequence[str], reading: ColumnReading, delimiter: str) -> _Header:
    names = [cell.strip().strip("\ufeff") for cell in cells]
    plains = [plain(name) for name in names if not is_unnamed(name)]
    if repeated := sorted({name for name in plains if plains.count(name) > 1}):
        raise InvalidPromptFile(f"column {', '.join(repeated)} stands twice in the header; name each once")
    if absent := [name for name in reading.columns if name not in plains and reading.columns[name] != IGNORE]:
        raise InvalidPromptFile(f"--column names {absent[0]!r}, and the columns are {', '.join(names)[:300]}")
    if len(plains) < len(names) and any(names[len(plains) :]):
        reading.notes.add("a column without a name of its own is left out")
    try:
        columns = reading.columns_of(names)
    except InvalidJob as err:
        raise InvalidPromptFile(str(err)) from err
    if "prompt" not in columns.fields.values():
        raise InvalidPromptFile(_no_prompt(names))
    return _Header(names=names, columns=columns, delimiter=delimiter)


def _no_prompt(names: Sequence[str]) -> str:
    shown = ", ".join(names)[:200]
    if any(len(name.split()) >= _SENTENCE_WORDS for name in names):
        return f"the header {shown} has no prompt column, and reads like a row; put a line that names the columns above"
    column = names[0] if 0 < len(names[0]) <= _NAME_CHARS else "caption"
    return (
        f"the header {shown} has no prompt column; say which it is, as --column {shlex.quote(f'prompt={column}')}, or "
        "remove what stands above the line that names the columns"
    )


def _csv_row(line: int, header: _Header, cells: Sequence[str], reading: ColumnReading, text: str) -> Row | BadLine:
    names = header.names
    if len(names) == 1 and len(cells) > 1 and '"' not in text:
        reading.notes.add("the only column takes whole lines, whatever signs they hold")
        cells = [text]
    if any(cell.strip() for cell in cells[len(names) :]):
        return BadLine(
            line=line,
            reason=f"{len(cells)} cells, but the header has {len(names)}; put a cell that holds a "
            f"{_DELIMITERS.get(header.delimiter, header.delimiter)} into quotes",
        )
    # Excel leaves out the empty cells at the end of a row.
    values = dict(zip(names, (*cells, *[""] * (len(names) - len(cells))), strict=False))
    try:
        given, metadata = header.columns.split(values)
    except InvalidJob as err:
        return BadLine(line=line, reason=str(err))
    return Row(line=line, values=given, metadata=metadata)
