"""Every document: its links lead somewhere, and its blocks of code are right."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from typer.main import get_command

from fixtures.documents import Block, names, read
from fixtures.repository import ROOT
from reelmill_common.jobs import JobState
from reelmill_producer.cli import app

DOCUMENTS = names()
DIAGRAM_LINES = {
    "sequenceDiagram": r"(?:participant|actor) \w+( as .+)?|\w+(?:-|--)>>\w+: .+|(?:loop|alt|else|opt|par|and) .+|end"
    r"|[Nn]ote (?:over|right of|left of) [\w,]+: .+|autonumber",
    "stateDiagram-v2": r"(?:\w+|\[\*\]) --> (?:\w+|\[\*\])(?:: .+)?|direction (?:LR|TB)|\w+: .+"
    r"|note (?:right|left) of \w+: .+",
}
"""What a line of a diagram may be, by its kind."""

HISTORY = ("docs/decisions/", "docs/lab-notes.md", "CHANGELOG.md")
"""Documents that may name files as they were."""
PATH = re.compile(
    r"(?:common|producer|worker|tests|infra|docs|benchmarks|security|acceptance|faults)/[\w./@-]*\w(?:/|\.\w+)"
)
"""A file or folder of the tree, named from its root or from `tests/`."""
COMMAND = re.compile(
    r"(?:^|[|;&(=] ?|\$ )(?:\w+=\S+ )*(?:reelmill|docker compose .*?\b(?:producer|worker)(?= )) (?P<arguments>.+)"
)
"""A call of the program in a line of shell, here or in one of its containers."""

documents = pytest.mark.parametrize("name", DOCUMENTS)


@documents
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    document = read(name)
    local = [link for link in document.links if not re.match(r"https?:|mailto:", link)]

    broken = []
    for link in local:
        target, _, anchor = unquote(link).partition("#")
        path = (document.path.parent / target).resolve() if target else document.path
        tracked = path.exists() and path.is_relative_to(ROOT)
        if not tracked or (anchor and anchor not in read(str(path.relative_to(ROOT))).anchors):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if not name.startswith(HISTORY)])
def test_every_path_in_the_text_is_there(name: str) -> None:
    paths = [span for span in read(name).spans if PATH.fullmatch(span)]

    assert [path for path in paths if not ((ROOT / path).exists() or (ROOT / "tests" / path).exists())] == []


@documents
def test_every_command_line_is_one_that_the_program_takes(name: str) -> None:
    refused = [f"{number}: {line}: {why}" for number, line in read(name).commands() if (why := refusal(line))]

    assert refused == []


def test_command_lines_were_found() -> None:
    lines = [line for name in DOCUMENTS for _, line in read(name).commands() if COMMAND.search(line)]

    assert len(lines) > 50


def refusal(line: str) -> str:
    """Return why the real parser does not take a line's `reelmill …`; empty if it does, or if there is none."""
    found = COMMAND.search(line)
    if found is None or re.search(r"compose .*(?: up -d| restart | logs )", line):
        return ""
    text = re.split(r" (?:\||<|>|&&|;|#) ?|\)$", found["arguments"])[0]
    try:
        parse(shlex.split(text))
    except Exception as err:  # noqa: BLE001 - whatever click raises of a wrong line
        return f"{type(err).__name__} {err}"
    return ""


def parse(arguments: list[str]) -> None:
    """Read arguments as the program would, down to the command, and run nothing."""
    command: Any = get_command(app)
    context = command.make_context("reelmill", arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    "line", ["reelmill submit a.csv --wiat", "x=$(reelmill rendre fox)", "docker compose run producer why"]
)
def test_a_wrong_command_line_is_seen(line: str) -> None:
    assert refusal(line)


@documents
def test_every_option_in_the_text_is_one_of_its_command(name: str) -> None:
    unknown = [span for span in read(name).spans if span.startswith("reelmill ") and not is_known(span.split()[1:])]

    assert unknown == []


def is_known(arguments: list[str]) -> bool:
    command: Any = get_command(app)
    context = command.make_context("reelmill", ["status"])
    while arguments and hasattr(command, "get_command") and not arguments[0].startswith("-"):
        if not re.fullmatch(r"[a-z]+", arguments[0]):
            return True  # a placeholder, as in `reelmill VERB`
        found = command.get_command(context, arguments[0])
        if found is None:
            return False
        command, arguments = found, arguments[1:]
    options = {
        name for parameter in command.get_params(context) for name in [*parameter.opts, *parameter.secondary_opts]
    }
    return all(word.split("=")[0].rstrip(",") in options for word in arguments if word.startswith("--"))


@documents
def test_every_block_of_python_compiles_and_imports_what_is_there(name: str) -> None:
    missing = []
    for block in read(name).in_language("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reelmill"):
                module = import_module(node.module or "")
                missing += [alias.name for alias in node.names if not hasattr(module, alias.name)]

    assert missing == []


@documents
def test_every_block_of_data_can_be_read(name: str) -> None:
    readers = {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}

    for block in read(name).in_language(*readers):
        assert readers[block.language](block.text) is not None, block.line


@documents
def test_every_diagram_is_one(name: str) -> None:
    for block in read(name).in_language("mermaid"):
        first, *lines = [line.strip() for line in block.text.splitlines() if line.strip()]
        assert first in DIAGRAM_LINES, f"{name}:{block.line}: {first}"
        assert [line for line in lines if not re.fullmatch(DIAGRAM_LINES[first], line)] == []
        opened = sum(line.split()[0] in {"loop", "alt", "opt", "par"} for line in lines)
        assert opened == lines.count("end")
        assert undeclared(block) == set()


def undeclared(block: Block) -> set[str]:
    """Return who speaks in a sequence and was not introduced."""
    declared = set(re.findall(r"(?:participant|actor) (\w+)", block.text))
    speaking = {who for pair in re.findall(r"^\s*(\w+)-{1,2}>>(\w+):", block.text, re.MULTILINE) for who in pair}
    return speaking - declared


def test_the_diagram_of_a_job_has_the_states_that_a_job_has() -> None:
    (diagram,) = read("docs/explanation/job-life.md").in_language("mermaid")[:1]

    drawn = set(re.findall(r"\b([a-z_]+) -->|--> ([a-z_]+)\b", diagram.text))

    assert {name for pair in drawn for name in pair if name} == {state.value for state in JobState}


def test_documents_hold_blocks_of_every_kind() -> None:
    languages = {block.language for name in DOCUMENTS for block in read(name).blocks}

    assert (
        {"sh", "python", "yaml", "json", "mermaid"}
        <= languages
        <= {*("", "sh", "python", "yaml", "json", "toml", "mermaid", "text", "lua", "ini", "nginx")}
    )
