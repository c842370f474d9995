"""Every document: its links lead somewhere, and its blocks of code are right."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from importlib import import_module
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from typer.main import get_command

import reelmill_common.errors
from fixtures.documents import Block, names, read
from fixtures.repository import ROOT
from reelmill_common.errors import ReelmillError
from reelmill_common.jobs import JobState
from reelmill_common.ledger.retry_rules import RULES
from reelmill_producer.analysis.why import WaitCause
from reelmill_producer.cli import app

DOCUMENTS = names()
DIAGRAM_LINES = {
    "sequenceDiagram": r"(?:participant|actor) \w+( as .+)?|\w+(?:-|--)>>\w+: .+|(?:loop|alt|else|opt|par|and) .+|end"
    r"|[Nn]ote (?:over|right of|left of) [\w,]+: .+|autonumber",
    "stateDiagram-v2": r"(?:\w+|\[\*\]) --> (?:\w+|\[\*\])(?:: .+)?|direction (?:LR|TB)|\w+: .+"
    r"|note (?:right|left) of \w+: .+",
}
"""What a line of a diagram may be, by its kind."""

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
        <= {*("", "sh", "python", "yaml", "json", "toml", "mermaid", "text", "lua", "ini")}
    )


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions[0][0] == version("reelmill")
    assert all(date == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in versions)


def test_the_commands_for_contributors_are_those_of_the_makefile() -> None:
    named = set(re.findall(r"make (\w+)\b", (ROOT / "CONTRIBUTING.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"check", "test", "quick", "demo", "format", "references"} <= named & targets
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("make test")


def test_the_hooks_of_ours_run_what_make_check_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    local = [hook for repo in config["repos"] if repo["repo"] == "local" for hook in repo["hooks"]]

    tools = {ROOT / ".venv/bin" / hook["entry"].split()[0].rpartition("/")[2] for hook in local}

    assert [tool.name for tool in tools if not tool.exists() and f"$(BIN)/{tool.name}" not in makefile] == []
    assert {"ruff-check", "ruff-format", "mypy", "lint-imports"} <= {hook["id"] for hook in local}


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("docs/decisions/")])
def test_a_decision_fits_on_a_page_and_says_when_to_look_again(name: str) -> None:
    text = (ROOT / name).read_text()
    parts = ("Context", "Choice", "What we measured", "Consequences", "When to look again")

    assert re.match(rf"# {name.rpartition('/')[2][:4]}: .+\n", text)
    assert [part for part in parts if f"## {part}" not in text] == []
    assert len(text.splitlines()) <= 70


@pytest.mark.parametrize(
    ("folder", "page"),
    [("benchmarks", "docs/benchmarks.md"), ("docs/how-to", "docs/README.md"), ("docs", "docs/README.md")],
)
def test_an_index_names_every_file_of_its_folder(folder: str, page: str) -> None:
    document = read(page)
    files = [
        path for path in sorted((ROOT / folder).iterdir()) if path.suffix in {".py", ".md"} and path != ROOT / page
    ]

    linked = {(document.path.parent / link.partition("#")[0]).resolve() for link in document.links}

    assert files
    assert [path.name for path in files if path not in linked] == []


def test_each_question_of_a_newcomer_has_a_link_that_answers_it() -> None:
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|", (ROOT / "docs/questions.md").read_text(), re.MULTILINE)

    assert len(rows) >= 10
    assert [question for question, answer in rows if "](" not in answer] == []


def test_troubleshooting_names_causes_codes_and_statuses_that_there_are() -> None:
    parts = re.split(r"^## ", (ROOT / "docs/how-to/troubleshooting.md").read_text(), flags=re.MULTILINE)
    first = {part.partition("\n")[0]: re.findall(r"^\| ([^|]+) \|", part, re.MULTILINE) for part in parts}
    errors = [kind for kind in vars(reelmill_common.errors).values() if isinstance(kind, type)]
    statuses = {str(kind.exit_status) for kind in errors if issubclass(kind, ReelmillError)}

    causes = set(re.findall(r"`(\w+)`", " ".join(first["A batch does not go on"])))
    codes = set(re.findall(r"`(\w+)`", " ".join(first["A clip failed"])))

    assert causes
    assert causes <= {cause.value for cause in WaitCause}
    assert codes
    assert codes <= {*RULES, "expired", "spec_missing"}
    assert statuses <= set(first["By exit status"])


def test_every_alert_has_a_part_of_the_runbook() -> None:
    rules = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}

    headings = set(re.findall(r"^## (Reelmill\w+)$", (ROOT / "docs/how-to/alerts.md").read_text(), re.MULTILINE))

    assert alerts
    assert headings == alerts
