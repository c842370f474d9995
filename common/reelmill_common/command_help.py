"""Help of a group of commands: each with its first sentence whole, and the root's under headings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from typer.core import TyperGroup

_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)


class HelpfulGroup(TyperGroup):
    """A group whose help cuts no sentence off.

    Attributes:
        PANELS: Headings, and the commands below each; those in none come last, under `REST`.
    """

    PANELS: ClassVar[Mapping[str, Iterable[str]]] = {}
    REST: ClassVar[str] = "Commands"

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings."""
        rows = {name: first_sentence(self.get_command(ctx, name)) for name in self.list_commands(ctx)}
        placed = {name for names in self.PANELS.values() for name in names}
        rest = [name for name in rows if name not in placed]
        for heading, names in {**self.PANELS, self.REST: rest}.items():
            shown = [(name, rows[name]) for name in names if name in rows]
            if shown:
                with formatter.section(heading):
                    formatter.write_dl(shown)


def first_sentence(command: Any) -> str:
    """Return the first sentence of a command's help, on one line."""
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    found = _SENTENCE.match(text)
    return found[0] if found else text
