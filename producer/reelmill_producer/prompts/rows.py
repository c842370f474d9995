"""One row of a prompt file, not checked yet, and the names that its fields may have."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reelmill_producer.prompts.columns import COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it was written.

    Attributes:
        line: The line where it begins, counted from 1.
        values: Values by field: text, or any JSON value.
        metadata: Values of the other columns.
        place: Its place besides the line, for example `job 3, row 2 of 8`; empty if the line is its own.
        names: Readable keys that replace an `id` made of its content: the preferred one, and the one for when another
            row has that.
    """

    line: int
    values: Mapping[str, object]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    place: str = ""
    names: tuple[str, ...] = ()


def unknown_names(names: Sequence[str], known: Sequence[str] = COLUMNS) -> str:
    """Return the unknown ones among the names and the nearest known one; empty if all are known."""
    unknown = [name for name in names if name not in known]
    if not unknown:
        return ""
    near = difflib.get_close_matches(unknown[0].lower(), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"{', '.join(repr(name[:40]) for name in unknown[:5])}{hint} Known are {', '.join(known)}"
