"""Where code and tests lie: few modules in a root, folders that say what they are, tests found by a module's name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fixtures.repository import PACKAGES, ROOT, tracked

WITHOUT_A_TEST_OF_THEIR_NAME = {
    "common/reelmill_common/calendar/timestamps.py",
    "common/reelmill_common/gpus.py",
    "common/reelmill_common/ledger/base.py",
    "common/reelmill_common/ledger/reuse.py",
    "common/reelmill_common/ledger/rights.py",
    "common/reelmill_common/ledger/snapshot.py",
    "common/reelmill_common/ledger/views.py",
    "common/reelmill_common/metrics/exporter.py",
    "common/reelmill_common/services/periodic.py",
    "common/reelmill_common/services/pruner.py",
    "producer/reelmill_producer/analysis/history.py",
    "producer/reelmill_producer/cli/archive.py",
    "producer/reelmill_producer/cli/audit.py",
    "producer/reelmill_producer/cli/batch_name.py",
    "producer/reelmill_producer/cli/columns.py",
    "producer/reelmill_producer/cli/demo.py",
    "producer/reelmill_producer/cli/download.py",
    "producer/reelmill_producer/cli/export.py",
    "producer/reelmill_producer/cli/options.py",
    "producer/reelmill_producer/cli/output.py",
    "producer/reelmill_producer/cli/report.py",
    "producer/reelmill_producer/cli/rerender.py",
    "producer/reelmill_producer/cli/session.py",
    "producer/reelmill_producer/cli/show.py",
    "producer/reelmill_producer/cli/top_page.py",
    "producer/reelmill_producer/cli/why.py",
    "worker/reelmill_worker/attempt/failure.py",
    "worker/reelmill_worker/child/composition.py",
    "worker/reelmill_worker/delivery/clip_files.py",
    "worker/reelmill_worker/ipc/child_files.py",
    "worker/reelmill_worker/ipc/child_status.py",
    "worker/reelmill_worker/parent/broker_wait.py",
    "worker/reelmill_worker/parent/fetch_watchdog.py",
    "worker/reelmill_worker/parent/message_filter.py",
    "worker/reelmill_worker/parent/remote_control.py",
    "worker/reelmill_worker/parent/transport.py",
}
"""Modules that have no test file of their name yet: tests of what uses them cover them. The list may only shrink."""

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
        ("common/reelmill_common", 18),
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
    assert sorted(missing - WITHOUT_A_TEST_OF_THEIR_NAME) == [], "add the test file"
    assert sorted(WITHOUT_A_TEST_OF_THEIR_NAME - missing) == [], "they have a test file now"
    assert len(missing) <= 42
