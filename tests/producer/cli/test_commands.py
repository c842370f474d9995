"""Every command has help that ends in something to paste, and stands in the reference of commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from fixtures.cli import Cli
from reelmill_common.command_help import first_sentence
from reelmill_producer.cli import app

DOCS = (Path(__file__).parents[3] / "docs/reference/commands.md").read_text()


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its names, those of sub-groups too."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=[" ".join(names) for names, _ in COMMANDS])
def test_a_command_has_help_that_ends_in_a_line_to_paste(cli: Cli, names: tuple[str, ...], command: Any) -> None:
    ran = cli(*names, "--help")

    assert ran.status == 0
    assert command.help
    texts = shlex.split(" ".join(ran.out.split("Try: ")[-1].split()))
    program_and_verb = [word for word in texts if "=" not in word or word.startswith("-")]
    assert program_and_verb[:2] == ["reelmill", names[0]]


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=[" ".join(names) for names, _ in COMMANDS])
def test_every_option_has_help_in_sentences(names: tuple[str, ...], command: Any) -> None:
    helps = {parameter.name: getattr(parameter, "help", "") or "" for parameter in command.params}

    assert {name: text for name, text in helps.items() if not text.endswith((".", "?"))} == {}


@pytest.mark.parametrize(("names", "command"), COMMANDS, ids=[" ".join(names) for names, _ in COMMANDS])
def test_a_command_is_defined_in_the_module_of_its_first_name(names: tuple[str, ...], command: Any) -> None:
    assert command.callback.__module__.rpartition(".")[2] == names[0]


@pytest.mark.parametrize("group", [(), ("schedule",), ("webhook",), ("model",)], ids=" ".join)
def test_a_group_shows_a_whole_sentence_for_each_command_and_an_example(cli: Cli, group: tuple[str, ...]) -> None:
    text = " ".join(cli(*group, "--help").out.split())

    for names, command in COMMANDS:
        if len(names) > len(group) and names[: len(group)] == group:
            sentence = first_sentence(command)
            assert sentence.endswith("."), names
            if len(names) == len(group) + 1:
                assert f" {names[-1]} {sentence}" in text
    assert "..." not in text.partition("Submit:")[2]
    assert f"Try: reelmill {' '.join(group)}" in text


def test_the_root_shows_every_command_and_the_exit_statuses(cli: Cli) -> None:
    ran = cli("--help")

    for names, _ in COMMANDS:
        assert re.search(rf"^  {names[0]}\b", ran.out, re.MULTILINE)
    assert "78 wrong settings" in ran.out
