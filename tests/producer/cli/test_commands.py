"""Every command has help that ends in something to paste, and stands in the reference of commands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from fixtures.cli import Cli, program
from reelmill_common import errors
from reelmill_common.command_help import first_sentence
from reelmill_common.settings import Settings
from reelmill_producer.cli import app, panels
from reelmill_producer.cli.errors import EPILOG, INTERRUPTED

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


def test_every_command_stands_below_a_heading_of_the_help() -> None:
    placed = [name for names in panels.PANELS.values() for name in names]
    missing = {names[0] for names, _ in COMMANDS} - set(placed)

    assert missing == set(), f"give {', '.join(missing)} a heading in producer/reelmill_producer/cli/panels.py"
    assert len(placed) == len(set(placed))


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


def test_every_exit_status_of_an_error_is_documented() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type)]
    statuses = {item.exit_status for item in classes if issubclass(item, errors.ReelmillError)}

    for status in {*statuses, 0, 2, INTERRUPTED}:
        assert f"| {status} |" in DOCS
        assert re.search(rf"\b{status}\b", EPILOG)


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    ran = cli("rendr", "a fox")

    assert (ran.status, ran.out) == (2, "")
    assert "rendr" in ran.err


def test_doctor_lists_what_it_found(cli: Cli) -> None:
    ran = cli("doctor", "--json")
    plain = cli("doctor")

    checks = {finding["check"]: finding["level"] for finding in ran.json["findings"]}
    assert {"store", "model"} <= set(checks)
    assert any(name.startswith("redis") for name in checks)
    assert ran.status == (78 if "fail" in checks.values() else 0)
    for name in checks:
        assert f"{name}: " in plain.out


def test_doctor_names_what_nothing_reads_in_an_env_file_without_its_values(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# REELMILL_OLD=1\nREDIS_PASSWORD=hunter2\nexport REELMILL_LEASE=hunter2\n"
        "REELMILL_FARM=main\nreelmil_smtp_url=hunter2\n"
    )

    ran = program("doctor", env=settings.to_env(), cwd=tmp_path)

    printed = " ".join(ran.out.split())
    assert f"warn env file: {tmp_path}/.env: line 3: REELMILL_LEASE is unknown" in printed
    assert (
        "did you mean REELMILL_LEASE_S?; line 5: reelmil_smtp_url is not read; did you mean REELMILL_SMTP_URL?"
        in printed
    )
    assert "hunter2" not in ran.out + ran.err


def test_doctor_exits_78_when_redis_does_not_answer(settings: Settings) -> None:
    ran = program("doctor", "--json", env=settings.to_env() | {"REELMILL_REDIS_URL": "redis://:hush@127.0.0.1:1/0"})

    found = json.loads(ran.out)
    assert ran.status == 78
    assert found["worst"] == "fail"
    assert "127.0.0.1:1" in ran.out
    assert "hush" not in ran.out + ran.err
