"""Untrusted JSON: read as it is meant, or refused with one error, in little time and memory."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelmill_common.errors import InvalidDocument
from reelmill_common.text.untrusted_json import MOST_BYTES, MOST_DEPTH, MOST_ITEMS, read_json, read_object

HOSTILE = {
    "brackets without end": b"[" * 900_000,
    "objects without end": b'{"a":' * 100_000,
    "closed brackets without end": b"[" * 5_000 + b"]" * 5_000,
    "millions of values": b"[" + b"[]," * 300_000 + b"[]]",
    "quotes that are escaped without end": b'"' + b'\\"' * 450_000,
    "empty texts without end": b'""' * 450_000,
    "more than is read": b'"' + b"a" * MOST_BYTES + b'"',
    "digits without end": b'{"a": ' + b"9" * 100_000 + b"}",
    "a number beyond 64 bits": b'{"a": 36893488147419103232}',
    "an infinite number": b'{"a": 1e999999}',
    "minus infinity": b'{"a": -1e400}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [Infinity]}',
    "a field twice": b'{"a": 1, "a": 2}',
    "one of many fields twice": b"{" + b",".join(b'"%d":1' % n for n in range(40_000)) + b',"39999":2}',
    "half a character": b'{"a": "\\ud800"}',
    "half a character in a name": b'{"\\udfff": 1}',
    "bytes that are not UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a control character": b'{"a": "\x1b"}',
    "nothing": b"",
    "cut off": b'{"a": [1, 2',
    "two documents": b"{} {}",
}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_ours_is_refused_at_once_with_one_error(text: bytes) -> None:
    started = time.process_time()

    with pytest.raises(InvalidDocument, match=r"^night/fox\.json .* damaged$") as refused:
        read_json(text, "night/fox.json")

    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()
    assert time.process_time() - started < 2


@given(value=values)
def test_what_can_be_written_is_read_as_it_was(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert read_json(text, "x") == value
        assert read_json(b"\xef\xbb\xbf" + text.encode(), "x") == value


@given(
    content=st.binary(max_size=300) | st.text(alphabet='[]{}",:\\0123456789eE+-.nulltruefalseNaN \ud800', max_size=80)
)
def test_any_text_is_read_or_refused(content: bytes | str) -> None:
    try:
        value = read_json(content, "x")
    except InvalidDocument:
        return
    again = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    assert read_json(again, "x") == value  # what was read can be written


def test_the_bounds_themselves_are_kept() -> None:
    nested = "[" * MOST_DEPTH + "]" * MOST_DEPTH

    assert read_json(nested, "x")
    assert read_json(json.dumps("[" * 100), "x") == "[" * 100  # within a text they nest nothing
    assert len(read_object(json.dumps({"a": [0] * MOST_ITEMS}), "x")["a"]) == MOST_ITEMS
    with pytest.raises(InvalidDocument, match="nested deeper than 32 levels"):
        read_json(f"[{nested}]", "x")
    assert read_json("1e308", "x") == 1e308
    assert math.isclose(float(str(read_json("0.1", "x"))), 0.1)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("[]", "a list"),
        ('"a"', "a text"),
        ("true", "a truth value"),
        ("null", "null"),
        ("1", "a number"),
        ("1.5", "a number"),
    ],
)
def test_another_value_than_an_object_is_named(text: str, got: str) -> None:
    with pytest.raises(InvalidDocument, match=f"x holds {got} where an object is wanted"):
        read_object(text, "x")
