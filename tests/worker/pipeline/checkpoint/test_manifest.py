import shutil
from pathlib import Path

import pytest

from fixtures.checkpoint import VAE
from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def test_with_a_manifest_a_cut_off_file_is_refused_before_its_header_is_read(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    with (tmp_path / "model" / VAE).open("r+b") as file:
        file.truncate(100)

    with pytest.raises(InvalidModel, match="has 100 bytes where the manifest says"):
        ModelFolder.open(tmp_path / "model")
