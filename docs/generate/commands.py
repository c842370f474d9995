"""The reference of commands, made from the parser of the command line and `command_notes.md` beside this file."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main

from reelmill_common.command_help import first_sentence
from reelmill_producer.cli import app
from reelmill_producer.cli.panels import PANELS

PATH = Path("docs/reference/commands.md")

_HEAD = """# Commands

This page is made from the parser of the command line and `docs/generate/command_notes.md`. How-tos: [write a prompt
file](../how-to/prompt-files.md), [schedules and windows](../how-to/schedules.md), [shares and
limits](../how-to/shares-and-limits.md). Every command also takes `--help`, which ends in a line that one can paste.

"""
_NOTES = Path(__file__).with_name("command_notes.md")


def render() -> str:
    """Return the page."""
    root = typer.main.get_command(app)
    context = typer.Context(root)
    commands = [(panel, list(_leaves(root, context, names))) for panel, names in PANELS.items()]
    notes = _notes()
    general = notes.pop("reelmill")
    sections = [_section(name, command, notes.pop(name, "")) for _, leaves in commands for name, command in leaves]
    if notes:
        raise ValueError(
            f"{_NOTES.name} has notes on {', '.join(notes)}, which are not commands; remove or rename them"
        )
    return "".join([_HEAD, general, "\n## Commands\n", *_contents(commands), *sections])


def _notes() -> dict[str, str]:
    """Return the notes by the command that they are about."""
    _, *parts = _NOTES.read_text().split("\n## ")
    return {head: text.strip() + "\n" for head, _, text in (part.partition("\n") for part in parts)}


def _leaves(group: Any, context: Any, names: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of these names, those of sub-groups too, with all their names."""
    for name in names:
        command = group.get_command(context, name)
        if hasattr(command, "commands"):
            yield from _leaves(command, typer.Context(command), command.list_commands(context), *before, name)
        else:
            yield " ".join(("reelmill", *before, name)), command


def _contents(commands: list[tuple[str, list[tuple[str, Any]]]]) -> Iterator[str]:
    for panel, leaves in commands:
        yield f"\n**{panel}**\n\n"
        yield from (f"- [`{name}`](#{name.replace(' ', '-')}): {_cell(first_sentence(one))}\n" for name, one in leaves)


def _section(name: str, command: Any, note: str) -> str:
    context = typer.Context(command)
    arguments = [_metavar(item) for item in command.params if item.param_type_name == "argument"]
    options = ["[OPTIONS]"] if len(command.params) > len(arguments) else []
    paragraphs = [" ".join(text.split()) for text in inspect.cleandoc(command.help or "").split("\n\n")]
    rows = [f"| `{_cell(names)}` | {_cell(text)} |\n" for names, text in _parameters(command, context)]
    return "".join(
        [
            f"\n## {name}\n\n```text\n{' '.join([name, *options, *arguments])}\n```\n",
            *(f"\n{text}\n" for text in paragraphs),
            *(["\n| parameter | meaning |\n| --- | --- |\n", *rows] if rows else []),
            *([f"\n{note}"] if note else []),
            f"\nExample: `{command.epilog.removeprefix('Try: ')}`\n",
        ]
    )


def _parameters(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    for item in command.params:
        names, text = item.get_help_record(context)
        yield (_metavar(item) if item.param_type_name == "argument" else names), text


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
