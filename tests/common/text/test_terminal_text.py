from __future__ import annotations

import json

from fixtures.cli import Cli, cli  # noqa: F401 - a fixture
from reelmill_common.text.terminal_text import is_printable, printable, printable_json

HOSTILE = "a\x1b[2J\n\u202eb\x07\ud800"


def test_control_characters_are_shown_instead_of_obeyed() -> None:
    shown = printable(HOSTILE)

    assert shown == "a\\x1b[2J\\n\\u202eb\\x07\\ud800"
    assert (is_printable(HOSTILE), is_printable(shown)) == (False, True)


def test_json_keeps_its_value_when_its_control_characters_are_escaped() -> None:
    text = printable_json(json.dumps({"a": HOSTILE}, ensure_ascii=False))

    assert is_printable(text)
    assert json.loads(text) == {"a": HOSTILE}


def test_what_steers_is_shown_and_the_rest_is_left() -> None:
    assert printable("ünder · 雪\t") == "ünder · 雪\\t"
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert json.loads(printable_json(json.dumps({"a": HOSTILE}, ensure_ascii=False))) == {"a": HOSTILE}
