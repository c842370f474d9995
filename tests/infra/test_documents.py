from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from fixtures.deployment import ROOT

DOCUMENTS = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("infra/**/*.md")] if path.is_file()
)


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions[0][0] == version("reelmill")
    assert all(date == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in versions)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_of_the_tree_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_commands_that_contributors_are_told_are_those_of_the_makefile() -> None:
    told = set(re.findall(r"make (\w+)\b", (ROOT / "CONTRIBUTING.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"check", "test", "demo", "format"} <= told & targets
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("make test")


def test_the_hooks_of_ours_run_what_make_check_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    local = [hook for repo in config["repos"] if repo["repo"] == "local" for hook in repo["hooks"]]

    for hook in local:
        tool = Path(hook["entry"].split()[0]).name
        assert (ROOT / ".venv/bin" / tool).exists() or f"$(BIN)/{tool}" in makefile, tool
    assert {"ruff-check", "ruff-format", "mypy", "lint-imports"} <= {hook["id"] for hook in local}


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_fits_on_a_page_and_says_when_to_look_again(path: Path) -> None:
    text = path.read_text()

    assert re.match(rf"# {path.name[:4]}: .+\n", text)
    assert [
        part
        for part in ("Context", "Choice", "What we measured", "Consequences", "When to look again")
        if f"## {part}" not in text
    ] == []
    assert len(text.splitlines()) <= 70
