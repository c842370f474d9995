"""Where code and tests lie: few modules in a root, folders that say what they are, tests found by a module's name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fixtures.repository import PACKAGES, ROOT, tracked

WITHOUT_A_TEST_OF_THEIR_NAME = {
    "common/reelmill_common/calendar/timestamps.py": "two lines; the ledger's tests of times go through them",
    "common/reelmill_common/ledger/base.py": "what the parts of the ledger share: each part's tests run it",
    "common/reelmill_common/ledger/reuse.py": "tested with store and commands, in tests/producer/test_reuse.py",
    "common/reelmill_common/ledger/views.py": "reads every answer; tests/security/test_documents.py bends them",
    "common/reelmill_common/services/periodic.py": "the base of the services: their tests run it",
    "producer/reelmill_producer/cli/options.py": "declarations, which tests/producer/cli/test_commands.py reads",
    "producer/reelmill_producer/cli/report.py": "tested with a browser, in tests/acceptance/test_contact_sheet.py",
    "producer/reelmill_producer/cli/rerender.py": "needs a rendered clip: tests/acceptance/test_farm.py has one",
    "worker/reelmill_worker/child/composition.py": "puts parts together for the gate, whose tests run it",
    "worker/reelmill_worker/ipc/child_files.py": "names of files, which tests of parent and child use",
    "worker/reelmill_worker/parent/broker_wait.py": "needs a server that refuses: tests/faults/test_refusals.py",
}
"""Modules that have no test file of their name, and why. The list may only shrink."""

MODULES = [
    Path(name)
    for name in tracked(".py")
    if name.startswith(tuple(f"{package}/" for package in PACKAGES)) and not Path(name).name.startswith("__")
]


def mirror(module: Path) -> Path:
    """Return where the tests of a module lie: the package's folder left out, `test_` before the name."""
    part, _, *folders = module.parts[:-1]
    return Path("tests", part, *folders, f"test_{module.name}")


@pytest.mark.parametrize(
    ("folder", "most"),
    [
        ("common/reelmill_common", 17),
        ("producer/reelmill_producer", 6),
        ("worker/reelmill_worker/pipeline", 10),
    ],
)
def test_a_root_holds_few_modules(folder: str, most: int) -> None:
    modules = [path.name for path in MODULES if path.parent == Path(folder)]

    assert 0 < len(modules) <= most, modules


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=str)
def test_a_folder_says_what_it_is_and_what_it_may_import(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""

    assert docstring.partition("\n")[0].endswith(".")
    assert "import" in docstring.lower(), docstring


def test_a_module_has_a_test_file_of_its_name() -> None:
    missing = {str(path) for path in MODULES if not (ROOT / mirror(path)).exists()}

    assert len(MODULES) > 200
    assert sorted(missing - WITHOUT_A_TEST_OF_THEIR_NAME.keys()) == [], "add the test file"
    assert sorted(WITHOUT_A_TEST_OF_THEIR_NAME.keys() - missing) == [], "they have a test file now"
    assert len(missing) <= 12
