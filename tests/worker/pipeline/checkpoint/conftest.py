from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy to be broken, without the manifest that would notice by size alone."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "manifest.json").unlink()
    return folder
