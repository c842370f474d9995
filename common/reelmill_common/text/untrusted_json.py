"""Untrusted JSON, in the clip store, in the tags of a file or in Redis, read within bounds.

`json.loads` accepts brackets nested until the stack ends, infinite numbers, a name that stands twice, and half
characters that no later write can encode. Here all of that is one error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from reelmill_common.errors import InvalidDocument

MOST_BYTES = 1_000_000
"""Most bytes of a document. A manifest has 3 kB, a job in an archive 40 at most (a prompt has 8,192 characters)."""
MOST_DEPTH = 32
"""Most levels of lists and objects. A manifest has four."""
MOST_ITEMS = 50_000
"""Most values in one document, at about 100 bytes of memory each. A manifest has 90."""
MOST_INTEGER = 2**64
"""Largest whole number; no count of ours is larger. Python's own limit of 4,300 digits would still overflow a float."""

# An unclosed text is one token too: else the end of each quote in it would be searched for.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(content: bytes | str, name: str, *, most_bytes: int = MOST_BYTES) -> object:
    """Return the value of a JSON text.

    Args:
        content: The text; as bytes it is UTF-8, with or without a byte order mark.
        name: The document's name for the message: an object's key, or a file.
        most_bytes: Most bytes of the text; most characters of a `str`.

    Raises:
        InvalidDocument: It is not JSON by RFC 8259, names a field twice, or exceeds a bound.
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
        InvalidDocument: As there, or the value is not an object.
    """
    value = read_json(content, name, most_bytes=most_bytes)
    if not isinstance(value, dict):
        raise _refusal(name, f"holds {_KINDS.get(type(value), 'a number')} where an object is wanted")
    return value


_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _refusal(name: str, why: str) -> InvalidDocument:
    return InvalidDocument(f"{name[:200]} {why}, so it was not written by this version of Reelmill, or was damaged")


def _check_shape(text: str, name: str) -> None:
    """Refuse a text that nests too deep or has too many values, before any of it is built."""
    openers = text.count("[") + text.count("{")
    # Brackets and commas within texts count too, so only a text within the bounds passes.
    if openers <= MOST_DEPTH and openers + text.count(",") <= MOST_ITEMS:
        return
    depth = 0
    for count, found in enumerate(_TOKEN.finditer(text)):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MOST_DEPTH:
            raise _refusal(name, f"is nested deeper than {MOST_DEPTH} levels")
        if count > MOST_ITEMS * 3:  # a field gives three tokens at most: its name, its value, a comma
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
