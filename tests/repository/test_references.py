"""References are made from the code: each page equals what its generator in docs/generate writes today."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from fixtures.repository import ROOT

GENERATORS = sorted((ROOT / "docs/generate").glob("[!_]*.py"))


def loaded(generator: Path) -> dict[str, Any]:
    return runpy.run_path(str(generator))


def test_there_are_generators_and_each_page_has_one() -> None:
    pages = sorted(str(loaded(generator)["PATH"]) for generator in GENERATORS)
    lying = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/reference").glob("*.md"))

    assert GENERATORS
    assert sorted(set(pages)) == pages
    assert [page for page in lying if page not in pages] == []


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda path: path.stem)
def test_a_reference_is_what_the_code_says(generator: Path) -> None:
    module = loaded(generator)

    assert (ROOT / module["PATH"]).read_text() == module["render"](), "run `make references`"
