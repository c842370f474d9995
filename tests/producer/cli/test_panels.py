"""The headings of `reelmill --help`: each command stands below one."""

from __future__ import annotations

import typer
import typer.main

from reelmill_producer.cli import app, panels


def test_every_command_stands_below_a_heading_of_the_help() -> None:
    command = typer.main.get_command(app)
    commands = command.list_commands(typer.Context(command))

    placed = [name for names in panels.PANELS.values() for name in names]
    missing = set(commands) - set(placed)

    assert len(commands) > 30
    assert missing == set(), f"give {', '.join(missing)} a heading in producer/reelmill_producer/cli/panels.py"
    assert len(placed) == len(set(placed))
