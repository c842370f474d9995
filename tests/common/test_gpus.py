"""GPUs by their device files, and under WSL2 by the driver."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from fixtures.nvml import driver
from reelmill_common.errors import InvalidSettings
from reelmill_common.gpus import gpu_numbers
from reelmill_producer.cli import app


def test_without_dxg_or_device_files_there_is_no_gpu(tmp_path: Path) -> None:
    assert gpu_numbers(tmp_path, driver(0)) == []


def test_the_real_profile_without_a_gpu_is_refused_at_start() -> None:
    environment = {"REELMILL_REDIS_URL": "redis://127.0.0.1:1/0", "REELMILL_PROFILE": "fastwan-qad-fp8"}

    ran = CliRunner().invoke(app, ["worker", "--devices", "cpu"], env=environment)

    assert ran.exit_code == InvalidSettings.exit_status
    assert "fastwan-qad-fp8 needs an NVIDIA GPU" in " ".join(ran.stderr.split())
