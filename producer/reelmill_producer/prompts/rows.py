"""One row of a prompt file as it was written, not yet checked, and the names that it may use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reelmill_producer.prompts.columns import COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it was written.

    Attributes:
        line: Where it begins, counted from 1.
        values: By field; values are text, or whatever JSON holds.
        metadata: What else it says.
        place: What a person calls it beside its line, for example `job 3, row 2 of 8`; empty if its line is its own.
        names: Keys that people can read, in place of an `id` that was made of its content: the one to take, and the
            one to take where another row has that.
    """

    line: int
    values: Mapping[str, object]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    place: str = ""
    names: tuple[str, ...] = ()


def unknown_names(names: Sequence[str], known: Sequence[str] = COLUMNS) -> str:
    """Return the unknown ones among the names and what could be meant, or an empty string."""
    unknown = [name for name in names if name not in known]
    if not unknown:
        return ""
    near = difflib.get_close_matches(unknown[0].lower(), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"{', '.join(repr(name[:40]) for name in unknown[:5])}{hint} Known are {', '.join(known)}"
