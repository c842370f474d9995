"""The command that installs an extra, by where this installation came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelmill_common.config.extras import _requirement, install_command

ROOT = Path(__file__).parents[3]


def test_a_clone_names_itself() -> None:
    assert install_command("gpu").endswith(f"pip install -e '{ROOT}[gpu]'")


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        pytest.param({}, "'reelmill[worker]'", id="from an index"),
        pytest.param({"url": ROOT.as_uri(), "dir_info": {}}, f"'{ROOT}[worker]'", id="from a folder"),
        pytest.param(
            {"url": f"{ROOT.as_uri()}/README.md", "archive_info": {}}, f"'{ROOT}/README.md[worker]'", id="from a file"
        ),
        pytest.param({"url": "file:///gone/a.whl", "archive_info": {}}, "'reelmill[worker]'", id="which is gone"),
        pytest.param(
            {"url": "https://example.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "'reelmill[worker] @ git+https://example.org/r.git@abc'",
            id="from a repository",
        ),
    ],
)
def test_an_extra_is_installed_from_where_we_came_from(origin: dict[str, Any], wanted: str) -> None:
    assert _requirement("worker", origin) == wanted
