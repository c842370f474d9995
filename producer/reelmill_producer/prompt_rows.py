"""Rows of a prompt file in its formats: what a line, a CSV record or a grid says about one job, not yet checked."""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import IO, TYPE_CHECKING, Literal, get_args

from reelmill_common.errors import InvalidPromptFile
from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompt_lines import BadLine, TextLine, read_lines

if TYPE_CHECKING:
    from reelmill_producer.policy_words import Head

Format = Literal["txt", "csv", "jsonl", "yaml"]
FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS: tuple[str, ...] = ("id", *(item.name for item in fields(RenderSpec)))
"""What a row may say; everything but the prompt has a default."""

_SUFFIXES: Mapping[str, Format] = {
    ".txt": "txt",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".yaml": "yaml",
    ".yml": "yaml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it was written.

    Attributes:
        line: Where it begins, counted from 1.
        values: By column; values are text, or whatever JSON holds.
        place: What a person calls it beside its line, for example `job 3, row 2 of 8`; empty if its line is its own.
    """

    line: int
    values: Mapping[str, object]
    place: str = ""


def format_of(suffix: str) -> Format | None:
    """Return the format that a file's suffix stands for, or None."""
    return _SUFFIXES.get(suffix.lower())


def read_rows(stream: IO[bytes], form: Format) -> Iterator[Row | BadLine | Head]:
    """Yield the rows of a stream in file order, bad lines among them; before them the head of a YAML file, if any.

    Raises:
        InvalidPromptFile: Nothing can be read at all: UTF-16, a CSV header with wrong columns, or YAML of another
            shape.
    """
    match form:
        case "txt":
            return _text_rows(stream)
        case "csv":
            return _csv_rows(stream)
        case "jsonl":
            return _json_rows(stream)
        case "yaml":
            from reelmill_producer.prompt_yaml import yaml_rows  # noqa: PLC0415 - it knows us; and 30 ms for YAML alone

            return yaml_rows(stream)


def _text_rows(stream: IO[bytes]) -> Iterator[Row | BadLine]:
    for item in read_lines(stream):
        if isinstance(item, BadLine):
            yield item
        elif "\r" in item.text:
            yield BadLine(line=item.line, reason=r"a carriage return stands inside the line; end lines with \n")
        elif (text := item.text.strip()) and not text.startswith("#"):
            yield Row(line=item.line, values={"prompt": text})


def _json_rows(stream: IO[bytes]) -> Iterator[Row | BadLine]:
    for item in read_lines(stream):
        if isinstance(item, BadLine):
            yield item
        elif item.text.strip():
            yield _json_row(item)


def _json_row(item: TextLine) -> Row | BadLine:
    try:
        value = json.loads(item.text, object_pairs_hook=_pairs)
    except RecursionError:
        return BadLine(line=item.line, reason="the JSON is nested too deeply; a job is one flat object")
    except ValueError as err:  # also of numbers with thousands of digits
        return BadLine(line=item.line, reason=f"not JSON ({str(err)[:120]}); write one object a line")
    if not isinstance(value, _Pairs):
        return BadLine(
            line=item.line, reason=f'a row is an object such as {{"prompt": "a fox"}}, got {type(value).__name__}'
        )
    if repeated := [name for name, count in Counter(name for name, _ in value).items() if count > 1]:
        return BadLine(line=item.line, reason=f"{', '.join(sorted(repeated))} given twice; give each field once")
    if unknown := unknown_names([name for name, _ in value]):
        return BadLine(line=item.line, reason=f"unknown field {unknown}")
    return Row(line=item.line, values=dict(value))


class _Pairs(list[tuple[str, object]]):
    """A JSON object before its repeated keys are lost."""


def _pairs(pairs: list[tuple[str, object]]) -> _Pairs:
    return _Pairs(pairs)


def _csv_rows(stream: IO[bytes]) -> Iterator[Row | BadLine]:
    bad: list[BadLine] = []
    reader = csv.reader(_csv_lines(stream, bad), strict=True)
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as err:
            yield from _drained(bad)
            yield BadLine(line=start, reason=_csv_reason(err, last=reader.line_num, start=start))
            if reader.line_num > start:  # a quote left open has swallowed other rows: what follows means nothing
                return
            continue
        damaged = bool(bad)
        yield from _drained(bad)
        if cells is None:
            return
        if not cells or damaged:
            continue
        if header is None:
            header = _header(cells)
        else:
            yield _csv_row(start, header, cells)


def _csv_lines(stream: IO[bytes], bad: list[BadLine]) -> Iterator[str]:
    """Yield one string a line, so that the reader counts right; a bad line is set aside and looks empty."""
    for item in read_lines(stream):
        if isinstance(item, BadLine):
            bad.append(item)
            yield "\n"
        else:
            yield item.text + "\n"


def _drained(bad: list[BadLine]) -> Sequence[BadLine]:
    taken = tuple(bad)
    bad.clear()
    return taken


def _csv_reason(err: csv.Error, *, last: int, start: int) -> str:
    if last > start:
        return (
            f"a quote is left open ({err}); close it. Lines {start} to {last} were taken for one, later ones not read"
        )
    return f'not CSV ({err}); put a cell that holds a comma or quote into quotes, and double the quotes in it ("")'


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if unknown := unknown_names(names):
        raise InvalidPromptFile(f"unknown column {unknown}. Columns are parted by commas and named in the first line")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidPromptFile(f"column {', '.join(repeated)} stands twice in the header; name each once")
    if "prompt" not in names:
        raise InvalidPromptFile(
            f"the header {', '.join(names)} has no prompt column; name the column of the prompts so"
        )
    return names


def _csv_row(line: int, header: Sequence[str], cells: Sequence[str]) -> Row | BadLine:
    if len(cells) != len(header):
        return BadLine(
            line=line,
            reason=f"{len(cells)} cells, but the header has {len(header)}; put a cell that holds a comma into quotes",
        )
    return Row(line=line, values=dict(zip(header, cells, strict=True)))


def unknown_names(names: Sequence[str], known: Sequence[str] = COLUMNS) -> str:
    """Return the unknown ones among the names and what could be meant, or an empty string."""
    unknown = [name for name in names if name not in known]
    if not unknown:
        return ""
    near = difflib.get_close_matches(unknown[0].lower(), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"{', '.join(repr(name[:40]) for name in unknown[:5])}{hint} Known are {', '.join(known)}"
