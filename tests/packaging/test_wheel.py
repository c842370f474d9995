"""The built wheel, installed without extras in a clean environment, is a whole producer and brings no torch."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import reelmill
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_worker.pipeline import prepare
from reelmill_worker.pipeline.prepare.trained_tiny import WEIGHTS, WEIGHTS_SHA256

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "venv"
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(folder / "bin/pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel))
    return folder / "bin/python"


def test_the_wheel_holds_the_three_packages_and_their_scripts_and_pages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    for package in ("reelmill", "reelmill_common", "reelmill_producer", "reelmill_worker"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    lua = {Path(name).name for name in names if name.endswith(".lua")}
    roots = (ROOT / "common", ROOT / "producer", ROOT / "worker")
    assert lua == {path.name for root in roots for path in root.rglob("*.lua")}
    assert len(lua) >= 10
    assert {"reelmill_common/report/sheet.css", "reelmill_common/report/sheet.js"} <= set(names)
    assert {f"reelmill_producer/web/static/{name}" for name in ("index.html", "app.js", "views/batch.js")} <= set(names)
    weights = f"{prepare.__name__.replace('.', '/')}/{WEIGHTS}"
    assert {weights, "reelmill_common/text/tiny_vocabulary.txt"} <= set(names)
    assert hashlib.sha256(zipfile.ZipFile(wheel).read(weights)).hexdigest() == WEIGHTS_SHA256
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_commands_of_the_readme_install_what_there_is(clean_python: Path) -> None:
    installs = re.findall(r"^pip install .*?'(.+)'", (ROOT / "README.md").read_text(), re.MULTILINE)

    ran = subprocess.run(
        [clean_python, "-m", "pip", "install", "--dry-run", "--no-deps", *installs],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert installs == [".[worker,gpu]"]  # from the clone: an index need not have us
    assert ran.returncode == 0, ran.stderr
    assert "does not provide the extra" not in ran.stderr


def test_a_producer_submits_with_no_torch_on_the_machine(
    clean_python: Path, settings: Settings, tmp_path: Path
) -> None:
    prompts = tmp_path / "night.txt"
    prompts.write_text("a fox in the snow\na lighthouse at dusk\n")

    out = _run(str(clean_python.parent / "reelmill"), "submit", str(prompts), env=settings.to_env(), cwd=tmp_path)
    torch = subprocess.run([clean_python, "-c", "import torch"], capture_output=True, text=True, check=False)

    assert "night" in out
    assert "ModuleNotFoundError" in torch.stderr
    with Ledger.connect(settings) as ledger:
        assert ledger.batches.get("night").total == 2


def test_a_clean_install_has_the_sdk_and_its_version(clean_python: Path, settings: Settings, tmp_path: Path) -> None:
    readme = re.search(r"```python\n(.*?)    farm.wait", (ROOT / "README.md").read_text(), re.DOTALL)
    assert readme is not None

    env = settings.to_env()
    _run(str(clean_python), "-c", readme[1], env=env, cwd=tmp_path)
    surface = _run(str(clean_python), "-c", "import reelmill\nfrom reelmill import *\nprint(dir())", cwd=tmp_path)
    versions = {
        _run(str(clean_python), "-c", "import reelmill; print(reelmill.__version__)", cwd=tmp_path).strip(),
        _run(str(clean_python), "-m", "reelmill", "--version", cwd=tmp_path).strip().removeprefix("reelmill "),
    }

    with Ledger.connect(settings) as ledger:
        assert ledger.batches.get("night-7").total == 2
    assert set(reelmill.__all__) <= set(ast.literal_eval(surface))
    assert versions == {reelmill.__version__}


@pytest.mark.parametrize("command", [("render", "a fox"), ("up",), ("demo", str(ROOT / "examples" / "prompts.csv"))])
def test_a_producer_says_how_its_own_wheel_is_installed_with_the_worker(
    clean_python: Path, wheel: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    env["REELMILL_STATE_DIR"] = str(tmp_path / "state")

    ran = subprocess.run(
        [clean_python, "-m", "reelmill", *command], capture_output=True, text=True, check=False, env=env, cwd=tmp_path
    )

    assert (ran.returncode, ran.stdout) == (78, "")
    advised = shlex.split(ran.stderr.rpartition("; run ")[2])
    assert advised == [str(clean_python), "-m", "pip", "install", f"{wheel}[worker]"]
    assert list(tmp_path.iterdir()) == []


def test_importing_the_producer_brings_no_torch_where_torch_is(tmp_path: Path) -> None:
    code = (
        "import sys, reelmill_producer.cli, reelmill_producer.client\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'av'} & set(sys.modules)))"
    )

    out = _run(sys.executable, "-c", code, cwd=tmp_path)

    assert out.strip() == "[]"


def _run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}, cwd=cwd, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
