"""The name that was probably meant by an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST_NAMES = 2000
"""Most names that are compared: about 20 ms."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like another one, or an empty text if none is like it."""
    by_case = {item.lower(): item for item in islice(known, MOST_NAMES)}
    found = get_close_matches(name[:100].lower(), by_case, n=1)
    return by_case[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'night'? `, which goes before a message's advice, or an empty text."""
    found = nearest(name, known)
    return f"did you mean {found!r}? " if found else ""
