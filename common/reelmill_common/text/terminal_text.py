"""Untrusted text on a terminal, in a log or a header: control characters are shown instead of obeyed."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""C0 and C1 controls (escape sequences, line ends, bells), changes of text direction, and half characters."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text in which every control character is written as in Python: `\x1b`, `\n`, `\u202e`.

    Args:
        text: Any text.
        keep: Characters that may pass, such as a line end.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _written(found[0]), text)


def printable_json(text: str) -> str:
    """Return a JSON text, on one line, in which every control character is escaped as in JSON."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_printable(text: str) -> bool:
    """Whether a text has no control character."""
    return _CONTROL.search(text) is None


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode()
