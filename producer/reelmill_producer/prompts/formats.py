"""The formats of a prompt file: the one that a suffix stands for, and the rows of a stream in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Literal, get_args

from reelmill_common.errors import InvalidPromptFile
from reelmill_common.text.names import MOST_CHARS, slug
from reelmill_producer.prompts.columns import ColumnReading
from reelmill_producer.prompts.grids import seeded
from reelmill_producer.prompts.json_reader import json_rows
from reelmill_producer.prompts.lines import BadLine, read_lines
from reelmill_producer.prompts.rows import Row
from reelmill_producer.prompts.tables import csv_rows
from reelmill_producer.prompts.utf8 import as_utf8

if TYPE_CHECKING:
    from reelmill_producer.prompts.policy_options import FileHeader

Format = Literal["txt", "csv", "jsonl", "yaml"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SUFFIXES: Mapping[str, Format] = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_BEGINNINGS = (
    (re.compile(r'\{\s*("|$)|\[\s*(["{]|$)'), "jsonl"),
    (re.compile(r"-\s+prompt:|(jobs|defaults|batch):"), "yaml"),
)
"""Beginnings of other formats, with which a text file must not begin."""
_NAME = re.compile(r"\w(?:[\w +#&()-]|\.(?!\.))*")
TAB_SUFFIXES = (".tsv", ".tab")
WHOLE_SUFFIX = ".json"


def format_of(suffix: str) -> Format | None:
    """Return the format that a file's suffix stands for, or None."""
    return _SUFFIXES.get(suffix.lower())


def read_rows(stream: IO[bytes], form: Format, reading: ColumnReading) -> Iterator[Row | BadLine | FileHeader]:
    """Yield the rows of a stream in file order, bad lines included; the head of a YAML file comes first.

    Raises:
        InvalidPromptFile: It is not text, its CSV header has no prompt, or its JSON or YAML has another shape.
    """
    text = as_utf8(stream, reading.notes)
    if form == "yaml":
        from reelmill_producer.prompts.yaml_reader import yaml_rows  # noqa: PLC0415 - YAML takes 30 ms

        yield from yaml_rows(text, reading)
        return

    if form == "txt":
        yield from seeded(_text_rows(text, reading), reading)
        return
    rows = csv_rows(text, reading) if form == "csv" else json_rows(text, reading)
    yield from seeded((_with_usable_id(row, reading) for row in rows), reading)


def _with_usable_id(row: Row | BadLine, reading: ColumnReading) -> Row | BadLine:
    """Make a key of an id in another script or spelling, if it is a name, not a path or anything else."""
    given = "" if isinstance(row, BadLine) else str(row.values.get("id") or "").strip()
    key = slug(given)
    if isinstance(row, BadLine) or key in (given, "batch") or len(given) > MOST_CHARS or not _NAME.fullmatch(given):
        return row
    reading.notes.add("an id is written with a-z 0-9 . _ - alone, and kept as metadata as it is", line=row.line)
    return replace(row, values={**row.values, "id": key}, metadata={"id": given, **row.metadata})


def _text_rows(stream: IO[bytes], reading: ColumnReading) -> Iterator[Row | BadLine]:
    is_begun = not reading.guessed
    for item in read_lines(stream, reading.notes):
        if isinstance(item, BadLine):
            yield item
        elif "\r" in item.text:
            yield BadLine(line=item.line, reason=r"a carriage return stands inside the line; end lines with \n")
        elif (text := item.text.strip()) and not text.startswith("#"):
            if not is_begun:
                _refuse_other_format(text, item.line)
                is_begun = True
            if "\t" in text:
                reading.notes.add("a tab in a prompt is read as a space; for columns, say --format csv", line=item.line)
            yield Row(line=item.line, values={"prompt": text})


def _refuse_other_format(first: str, line: int) -> None:
    """Refuse a table, JSON or YAML with the name of a text file: each of its lines would be rendered as a prompt.

    Raises:
        InvalidPromptFile: The first line begins another format.
    """
    from reelmill_producer.prompts.tables import reads_like_header  # noqa: PLC0415 - imports this module

    meant = "csv" if reads_like_header(first) else next((form for sign, form in _BEGINNINGS if sign.match(first)), "")
    if meant:
        raise InvalidPromptFile(
            f"line {line}: {first[:60]!r} reads like the beginning of {meant.upper()}, and a text file has a prompt a "
            f"line; say --format {meant}, or --format txt if each line is a prompt"
        )
