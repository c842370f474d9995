"""What tests of several commands need: a batch that waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cli import Cli


@pytest.fixture
def night(cli: Cli, tmp_path: Path) -> str:
    """A batch of three clips that waits."""
    (tmp_path / "night.csv").write_text("id,prompt\nfox,a fox\nowl,an owl\nhare,a hare\n")
    return cli("submit", tmp_path / "night.csv").out.strip()
