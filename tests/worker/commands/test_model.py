import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fixtures.cli import Ran, program
from reelmill_common.settings import Settings
from reelmill_producer.cli import app
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder


def model(*args: str | Path) -> Ran:
    """Run `reelmill model …` in this process, which has torch already."""
    result = CliRunner().invoke(app, ["model", *map(str, args)])
    return Ran(status=result.exit_code, out=result.stdout, err=result.stderr)


def test_a_tiny_model_made_on_the_command_line_opens(tmp_path: Path) -> None:
    ran = model("tiny", tmp_path / "tiny")

    assert (ran.status, ran.out.strip()) == (0, str(tmp_path / "tiny"))
    assert ModelFolder.open(tmp_path / "tiny")


def test_without_a_folder_the_model_goes_where_a_worker_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_dir=tmp_path)
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)

    made, checked = model("tiny"), model("check", "--profile", "tiny")

    assert made.out.strip() == str(settings.model_folder("tiny"))
    assert checked.out.strip() == ModelFolder.open(tmp_path / "models" / "tiny").model_hash


def test_a_folder_in_the_way_ends_with_78_and_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    ran = model("tiny", tmp_path)

    assert ran.status == 78
    assert "exists and is not empty; name a new folder" in ran.err
    assert "Traceback" not in ran.err


def test_quantising_prints_the_artifacts_hash(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")

    ran = model("quantize", tmp_path / "model", "--json")

    artifact = ran.json
    manifest = json.loads((tmp_path / "model" / "transformer_fp8" / "manifest.json").read_text())
    assert ran.status == 0
    assert artifact["quantised"] == 20
    assert artifact["sha256"] == manifest["files"]["diffusion_pytorch_model.safetensors"]["sha256"]


def test_checking_prints_the_models_hash(tiny_model: Path) -> None:
    ran = model("check", tiny_model)

    assert (ran.status, ran.out.strip()) == (0, ModelFolder.open(tiny_model).model_hash)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("tiny", "is not downloaded but made: reelmill model tiny"),
        ("nope", "--profile 'nope' is unknown; known are"),
    ],
)
def test_a_profile_that_cannot_be_pulled_says_why(profile: str, message: str, tmp_path: Path) -> None:
    ran = model("pull", tmp_path / "model", "--profile", profile)

    assert ran.status == 78
    assert message in ran.err


def test_a_pull_without_a_network_ends_with_75_and_without_a_traceback(tmp_path: Path) -> None:
    ran = program("model", "pull", str(tmp_path / "model"), env={"HF_ENDPOINT": "http://127.0.0.1:9"})

    assert ran.status == 75
    assert "the hub does not answer for FastVideo/FastWan-QAD-FP8-1.3B" in ran.err
    assert "Traceback" not in ran.err


def test_the_commands_are_known_without_importing_torch() -> None:
    code = "import sys, reelmill_worker.commands.model; sys.exit('torch' in sys.modules or 'celery' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
