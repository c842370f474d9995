"""Names of variables that are not settings, but were meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reelmill_common.text.suggestions import nearest

PREFIX = "REELMILL_"
_ALMOST_PREFIX = re.compile(r"(?!REELMILL_)(?i:R[EAL]{2,4}[_-]?M[IL]{2,4}S?)[_-]")
"""The start of a mistyped name of ours: `REELMIL_`, `reelmill_`, `REEL_MILL_`."""


def unknown_variable(variable: str, known: Iterable[str]) -> list[str]:
    """Return what is wrong with a variable that is not a setting: nothing, unless it was meant to be one."""
    begun = _ALMOST_PREFIX.match(variable)
    names = sorted(name.removeprefix(PREFIX) for name in known)
    meant = nearest(variable[begun.end() if begun else len(PREFIX) :].replace("-", "_"), names)
    if variable.startswith(PREFIX):
        advice = (
            f"{len(names)} names; did you mean {PREFIX}{meant}?"
            if meant
            else ", ".join(PREFIX + name for name in names)
        )
        return [f"{variable} is unknown; known are {advice}"]
    if begun and meant:
        return [f"{variable} is not read; did you mean {PREFIX}{meant}?"]
    return []
