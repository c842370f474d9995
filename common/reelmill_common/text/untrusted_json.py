"""JSON that a stranger may have written: in the clip store, in the tags of a file, in Redis. Read with bounds.

`json.loads` takes whatever is there: brackets that are nested until the stack ends, numbers that are infinite, a name
that stands twice, half characters that no later write can encode. Here all of that is one error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from reelmill_common.errors import InvalidDocument

MOST_BYTES = 1_000_000
"""Of one document. A manifest has 3 kB, and a job in an archive at most 40: a prompt has 8,192 characters at most."""
MOST_DEPTH = 32
"""Levels of lists and objects. A manifest has four."""
MOST_ITEMS = 50_000
"""Values in one document, which take about 100 bytes of memory each. A manifest has 90."""
MOST_INTEGER = 2**64
"""Nothing that is counted here is larger. Python's own limit of 4,300 digits would still overflow a float."""

# A text that never ends is one token too: else each quote in it would be looked for an end of its own.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(content: bytes | str, name: str, *, most_bytes: int = MOST_BYTES) -> object:
    """Return the value of a JSON text.

    Args:
        content: The text; as bytes it is UTF-8, with or without a byte order mark.
        name: What it is, for the message: an object's key, or a file.
        most_bytes: Of the text; as `str`, of its characters.

    Raises:
        InvalidDocument: It is not JSON as RFC 8259 has it, names a field twice, or is beyond one of the bounds.
    """
    if len(content) > most_bytes:
        raise _refusal(name, f"has {len(content):,} bytes, and at most {most_bytes:,} are read")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        _check_shape(text, name)
        value: object = _DECODER.decode(text)
        if _SURROGATE.search(text):  # half of a pair is legal JSON, and cannot be written as UTF-8
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as err:
        raise _refusal(name, "holds characters that are not UTF-8") from err
    except InvalidDocument:
        raise
    except (ValueError, RecursionError, MemoryError) as err:
        raise _refusal(name, f"is not JSON that can be read ({str(err)[:200] or type(err).__name__})") from err
    return value


def read_object(content: bytes | str, name: str, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Return the fields of a JSON object; see `read_json`.

    Raises:
        InvalidDocument: As there, or it is another value than an object.
    """
    value = read_json(content, name, most_bytes=most_bytes)
    if not isinstance(value, dict):
        raise _refusal(name, f"holds {_KINDS.get(type(value), 'a number')} where an object is wanted")
    return value


_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _refusal(name: str, why: str) -> InvalidDocument:
    return InvalidDocument(f"{name[:200]} {why}, so it was not written by this version of Reelmill, or was damaged")


def _check_shape(text: str, name: str) -> None:
    """Refuse a text that nests too deep or has too many values, before anything is built of it."""
    openers = text.count("[") + text.count("{")
    # What stands within texts counts too, so this only ever lets pass what is within the bounds.
    if openers <= MOST_DEPTH and openers + text.count(",") <= MOST_ITEMS:
        return
    depth = 0
    for count, found in enumerate(_TOKEN.finditer(text)):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MOST_DEPTH:
            raise _refusal(name, f"is nested deeper than {MOST_DEPTH} levels")
        if count > MOST_ITEMS * 3:  # of a field three are seen at most: its name, its value, a comma
            raise _refusal(name, f"holds more than {MOST_ITEMS:,} values")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {twice[:80]!r} stands twice")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 21 or abs(int(digits)) > MOST_INTEGER:
        raise ValueError(f"a number of {len(digits)} digits is beyond 2**64")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError(f"the number {digits[:40]} is infinite")
    return number


def _constant(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant)
