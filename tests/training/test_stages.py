"""All stages of training run on the CPU, each for one step, and their artifact has the form of what ships."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from training.artifact import ROOT, WEIGHTS


def form(path: Path) -> dict[str, tuple[list[int], str]]:
    """Return shape and type of each tensor."""
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return {name: (part.get_shape(), part.get_dtype()) for name, part in slices.items()}


@pytest.mark.slow
def test_the_smoke_run_makes_checkpoints_an_artifact_and_a_table(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "training", "--smoke", "--folder", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    made = tmp_path / "tiny_weights.safetensors"
    assert {path.name.partition("-0")[0] for path in tmp_path.glob("*-0.safetensors")} == {
        "autoencoder", "teacher", "student-fp8-1", "matched-fp8-1",
    }  # fmt: skip
    assert form(made) == form(WEIGHTS)
    assert len(form(made)) > 100
    assert "| matched-fp8-1 | 2 unseen |" in ran.stdout
    assert "\n| 2 unseen |" in ran.stdout
