"""JSON of prompts: an object a line, or one list of objects or texts, as data sets are saved."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, cast

from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_producer.prompts.columns import ALIASES, ColumnReading, Columns, plain
from reelmill_producer.prompts.lines import BadLine, TextLine, read_lines
from reelmill_producer.prompts.rows import Row

MAX_WHOLE_BYTES = 67_108_864
"""Most bytes of a file that is one list, which is in memory as a whole."""
_KINDS: dict[type, str] = {list: "a list", bool: "true or false", type(None): "null"}
_SPACE = re.compile(r"\s*")
_SHAPE = 'a JSON file is a list of texts or of objects such as {"prompt": "a fox"}, or one object a line'


def json_rows(stream: IO[bytes], reading: ColumnReading) -> Iterator[Row | BadLine]:
    """Yield the rows of JSON lines, or of one list.

    Args:
        stream: A stream of UTF-8.
        reading: The meaning of columns, and whether the file's name says that it is one value. A file that begins
            with a list of rows is one value too.

    Raises:
        InvalidPromptFile: It is one value that has another shape or is too large.
    """
    lines = read_lines(stream, reading.notes)
    if reading.whole:
        yield from _values(_text(stream), reading)
        return
    for item in lines:
        if isinstance(item, BadLine):
            yield item
        elif item.line == 1 and _is_whole(item.text):
            yield from _values(item.text + "\n" + _text(stream), reading)
            return
        elif item.text.strip():
            yield _line_row(item, reading)


def _is_whole(first: str) -> bool:
    """Whether a file that begins with this line is one list, or objects over several lines.

    A list that holds no rows is an error of its line only.
    """
    return bool(re.match(r'\s*(\[\s*(["{]|$)|\{\s*$)', first))


def _text(stream: IO[bytes]) -> str:
    data = stream.read(MAX_WHOLE_BYTES + 1)
    if len(data) > MAX_WHOLE_BYTES:
        raise InvalidPromptFile(f"one JSON list has more than {MAX_WHOLE_BYTES:,} bytes; write it as .jsonl")
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise InvalidPromptFile(f"byte {err.start + 1} is not UTF-8; save the file as UTF-8") from err


def _values(text: str, reading: ColumnReading) -> Iterator[Row | BadLine]:
    """Yield the rows of a text that is one list, an object with one list, or a series of objects."""
    start = _after_space(text, 0)
    if text.startswith("{", start) and (pairs := _only_object(text, start)):
        if turned := _turned(pairs, reading):
            for number, values in enumerate(turned, 1):
                yield _placed(_row(1, values, reading), f"row {number:,}")
            return
        start = _start_of_list(text, start, pairs)
    if text.startswith("["[: len(text)], start):
        yield from _elements(text, start + 1, reading, end="]")
    elif text.startswith("{", start):
        yield from _elements(text, start, reading, end="")
    elif text.strip():
        raise InvalidPromptFile(f"line 1: {_SHAPE}, got {text.strip()[:40]!r}")


def _only_object(text: str, start: int) -> _Pairs | None:
    """Return the object if the text is exactly one; None otherwise."""
    try:
        value, end = _decoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, _Pairs) and not text[end:].strip() else None


def _turned(pairs: _Pairs, reading: ColumnReading) -> list[_Pairs]:
    """Return the rows of an object of columns, as pandas and `datasets` write it; empty if it is not one.

    A column is a list with a value for each row, or an object with the same keys as the others.
    """
    names, columns = [name for name, _ in pairs], [column for _, column in pairs]
    prompts = {"prompt", *ALIASES["prompt"], *(name for name, field in reading.columns.items() if field == "prompt")}
    if prompts.isdisjoint(map(plain, names)) or (len(names) == 1 and names != ["prompt"]):
        return []
    if all(isinstance(column, _Pairs) for column in columns):
        keyed = cast("list[_Pairs]", columns)
        if any([key for key, _ in column] != [key for key, _ in keyed[0]] for column in keyed):
            return []
        columns = [[value for _, value in column] for column in keyed]
    elif not all(type(column) is list for column in columns):
        return []
    lists = cast("list[list[object]]", columns)
    if len({len(values) for values in lists}) != 1 or any(isinstance(value, _Pairs) for value in lists[0]):
        return []
    return [_Pairs(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _placed(row: Row | BadLine, place: str) -> Row | BadLine:
    return replace(row, reason=f"{place}: {row.reason}") if isinstance(row, BadLine) else replace(row, place=place)


def _start_of_list(text: str, start: int, pairs: _Pairs) -> int:
    """Return where the only list of an object begins, as in `{"prompts": [...]}`; else where the object begins."""
    lists = [name for name, item in pairs if type(item) is list and item]
    if len(lists) != 1 or "prompt" in [name for name, _ in pairs]:
        return start
    found = re.search(re.escape(json.dumps(lists[0])) + r"\s*:\s*\[", text[start:])
    return start if found is None else start + found.end() - 1


def _elements(text: str, place: int, reading: ColumnReading, *, end: str) -> Iterator[Row | BadLine]:
    line, counted, number = 1, 0, 0
    decoder = _decoder()
    while True:
        place = _after_space(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if (end and text.startswith(end, place)) or (not end and place >= len(text)):
            return
        number += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as err:
            what = "nested too deeply" if isinstance(err, RecursionError) else f"not JSON ({str(err)[:120]})"
            yield BadLine(line=line, reason=f"value {number:,}: {what}; correct it. What follows was not read")
            return
        yield _row(line, value, reading)
        place = _after_space(text, place)
        if text.startswith(",", place) and end:
            place += 1
        elif end and not text.startswith(end, place):
            yield BadLine(line=line, reason=f"value {number:,} is not followed by a comma; what follows was not read")
            return


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _line_row(item: TextLine, reading: ColumnReading) -> Row | BadLine:
    try:
        value: object = _decoder().decode(item.text)
    except RecursionError:
        return BadLine(line=item.line, reason="the JSON is nested too deeply; a job is one flat object")
    except ValueError as err:  # also a number with thousands of digits
        return BadLine(line=item.line, reason=f"not JSON ({str(err)[:120]}); write one object a line")
    return _row(item.line, value, reading)


def _row(line: int, value: object, reading: ColumnReading) -> Row | BadLine:
    if isinstance(value, str):
        value = {"prompt": value}
    if isinstance(value, dict):
        value = _Pairs(cast("dict[str, object]", value).items())
    if not isinstance(value, _Pairs):
        kind = _KINDS.get(type(value), "a number")
        return BadLine(line=line, reason=f'a row is an object such as {{"prompt": "a fox"}}, got {kind}')
    if repeated := [name for name, count in Counter(name for name, _ in value).items() if count > 1]:
        return BadLine(line=line, reason=f"{', '.join(sorted(repeated))} given twice; give each field once")
    try:
        values = {name: _plain(item) for name, item in value}
        columns: Columns = reading.columns_of(list(values), "field")
        given, metadata = columns.split(values)
    except RecursionError:
        return BadLine(line=line, reason="the JSON is nested too deeply; a job is one flat object")
    except InvalidJob as err:
        return BadLine(line=line, reason=str(err))
    if "prompt" not in columns.fields.values() and values:
        return BadLine(line=line, reason=_no_prompt(values))
    return Row(line=line, values=given, metadata=metadata)


def _no_prompt(values: Mapping[str, object]) -> str:
    names = ", ".join(values)[:200]
    if any(isinstance(item, str) for item in values.values()):
        return f"prompt is empty: none of {names} is it; say which, as --column prompt=caption"
    return f"prompt is empty: none of {names} is a text; {_SHAPE}"


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeated keys."""


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_Pairs)


def _plain(value: object) -> object:
    if isinstance(value, _Pairs):
        return {name: _plain(item) for name, item in value}
    return list(map(_plain, cast("list[object]", value))) if isinstance(value, list) else value
