"""Whole numbers as people, spreadsheets and other programs write them: `7`, ` 7 `, `1024.0`, `1,024`."""

from __future__ import annotations

import re

from reelmill_common.errors import InvalidJob

MOST_EXACT = 2**53
"""Up to here a float is a whole number to the last digit."""

_PLAIN = re.compile(r"[+-]?[0-9]{1,20}")
_POINT = re.compile(r"([+-]?[0-9]{1,20})[.,]0{1,20}")
_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3}){1,6}")
_POWER = re.compile(r"([0-9])(?:\.([0-9]{1,18}))?[eE]\+?([0-9]{1,2})")


def whole_number(name: str, given: object) -> int:
    """Return a number that is whole beyond doubt.

    Raises:
        InvalidJob: It is not a whole number, or may have lost digits.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    text = given.strip() if isinstance(given, str) else _decimal(name, given)
    if _PLAIN.fullmatch(text):
        return int(text)
    if _GROUPS.fullmatch(text):  # before a comma is taken for the point of decimals, as in `1024,0`
        return int(text.replace(",", ""))
    if found := _POINT.fullmatch(text):
        return int(found[1])
    found = _POWER.fullmatch(text)
    if found is None:
        raise InvalidJob(f"{name}={str(given)[:40]!r} is not a whole number; write its digits alone, as 1024")
    return _power(name, text, found)


def _decimal(name: str, given: object) -> str:
    """Return the text of a whole number that is a float; empty for any other value."""
    if not isinstance(given, float) or not given.is_integer():
        return ""
    if abs(given) > MOST_EXACT:
        raise InvalidJob(f"{name}={given!r} has lost digits: it was saved as a decimal number; write all of its digits")
    return f"{given:.0f}"


def _power(name: str, text: str, found: re.Match[str]) -> int:
    """Return `1.024E+03`, which shows all of its digits. `1E+03` may stand for 1024: a spreadsheet has rounded it."""
    digits, places = found[1] + (found[2] or ""), int(found[3])
    if len(digits.rstrip("0")) > places + 1:
        raise InvalidJob(f"{name}={text[:40]!r} is not a whole number")
    if len(digits) < places + 1:
        raise InvalidJob(
            f"{name}={text[:40]!r} may have lost digits, as when a spreadsheet shortens a number; show the column as a "
            "number without decimals, and save it again"
        )
    return int(digits[: places + 1])
