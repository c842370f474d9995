"""Single pages: what each of them must name, compared with the code, the alerts and the files."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
import yaml

import reelmill_common.errors
from fixtures.documents import names, read
from fixtures.repository import ROOT
from reelmill_common.errors import ReelmillError
from reelmill_common.ledger.retry_rules import RULES
from reelmill_producer.analysis.why import WaitCause

DOCUMENTS = names()


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
