from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import click
import pytest

from reelmill_common.command_help import HelpfulGroup, first_sentence


class Grouped(HelpfulGroup):
    PANELS: ClassVar[Mapping[str, Iterable[str]]] = {"First": ["b"]}


@pytest.mark.parametrize(
    ("help_text", "sentence"),
    [
        ("Print a thing. Then another.", "Print a thing."),
        ("Print\n    a thing of v1.2\n    on one line. More.", "Print a thing of v1.2 on one line."),
        ("No end\n\nA second paragraph.", "No end"),
        (None, ""),
    ],
)
def test_the_first_sentence_is_shown_whole_on_one_line(help_text: str | None, sentence: str) -> None:
    assert first_sentence(click.Command("x", help=help_text)) == sentence


def test_commands_stand_under_their_headings_and_the_others_come_last() -> None:
    commands = {name: click.Command(name, help=f"Do {name}.") for name in "ab"}
    group = Grouped(name="reelmill", rich_markup_mode=None, commands=commands)

    text = group.get_help(click.Context(group))

    assert text.index("First") < text.index("Do b.") < text.index("Commands") < text.index("Do a.")
