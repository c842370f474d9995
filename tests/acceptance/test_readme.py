"""Every command of the README runs here, or in the test that is named for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.cli import Ran, program
from fixtures.farm import Farm
from reelmill_common.profiles import TINY_NOTE
from reelmill_common.settings import Settings
from reelmill_worker.delivery import video

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

ELSEWHERE = {
    "git clone https://github.com/reelmill/reelmill && cd reelmill": "a clone is where these tests run",
    "make test": "what runs these tests",
    "python3 -m venv .venv && . .venv/bin/activate": "test_wheel.py makes one",
    "pip install -c constraints.txt '.[worker,gpu]'": "test_wheel.py tries it; the Makefile installs the worker extra",
    "cp .env.example .env": "tests/infra",
    "docker compose --profile gpu up -d": "tests/infra",
}
"""Commands of the README that this module does not run, and where they are shown."""

PROMPTS = "id,prompt,seed,frames\nfox,A red fox in the snow,1,5\nowl,An owl at dusk,2,5\n"

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def shell_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:cp|docker compose) [^`]+)`", README)
    return [line for line in [*lines, *inline] if line and not line.startswith("export ")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.csv").write_text(PROMPTS)
    return tmp_path


@pytest.fixture
def alone(folder: Path) -> Callable[[str], Ran]:
    """Run a command as on a machine with nothing configured, in a home of its own."""

    def run(command: str) -> Ran:
        env = {"HOME": str(folder), "REELMILL_STATE_DIR": str(folder / "state"), "HF_HUB_OFFLINE": "1"}
        return program(*_arguments(command), env=env, cwd=folder)

    return run


def test_every_command_is_run_somewhere() -> None:
    run_here = {command for test in (DEMO, WITHOUT_A_FARM, MODEL, ON_A_FARM, OVERNIGHT) for command in test}

    assert len(run_here) > 10
    assert set(shell_commands()) == run_here | set(ELSEWHERE)


DEMO = ["make demo"]


def test_the_demo_leaves_clips_posters_manifests_and_a_page(folder: Path) -> None:
    recipe = re.search(r"^demo:.*\n\t\$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    command = recipe[1].replace("--dir demo", f"--dir {folder / 'demo'}")

    ran = program(*_arguments(command), env={}, cwd=ROOT)

    assert ran.status == 0, ran.err
    assert ran.out == f"{folder}/demo/index.html\n"
    assert "small weights that know a small world" in ran.err
    assert TINY_NOTE in ran.err
    assert TINY_NOTE in (folder / "demo/index.html").read_text()
    assert (folder / "demo/index.html").read_text().count("data-clip=") == 7
    clips = sorted((folder / "demo/clips").rglob("*.mp4"))
    assert len(clips) == 7
    for clip in clips:
        probe = video.probe(clip)
        assert (probe.frames, probe.fps) == (81, 16)
        assert video.read_recipe(clip)["spec"]["prompt"] == probe.tags["prompt"]
        assert clip.with_suffix(".jpg").stat().st_size > 1000  # not a grey card
        assert json.loads(clip.with_suffix(".json").read_text())["clip"]["size_bytes"] == clip.stat().st_size


def test_set_up_says_how_much_it_brings_and_shows_its_progress(folder: Path) -> None:
    ran = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo", f"VENV={folder}/venv"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    announced, installs = ran.stdout.splitlines()[1:3]
    assert re.search(r"echo .*GB to download.*GB on disk", announced)
    assert "pip install" in installs
    assert " -q" not in installs


WITHOUT_A_FARM = [
    'reelmill render "a red fox runs through fresh snow at dawn, low sun, long shadows"',
    "reelmill submit prompts.csv --wait",
]


@pytest.mark.parametrize("command", WITHOUT_A_FARM)
def test_a_command_brings_its_own_farm(command: str, alone: Callable[[str], Ran]) -> None:
    ran = alone(command)

    assert ran.status == 0, ran.err
    assert ran.out.strip()


MODEL = ["reelmill model pull", "reelmill model quantize"]


def test_pull_without_a_network_says_what_to_do(alone: Callable[[str], Ran]) -> None:
    ran = alone("reelmill model pull")

    assert ran.status in (75, 78), ran.err
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_a_model_is_quantized_once(folder: Path, tiny_model: Path, alone: Callable[[str], Ran]) -> None:
    model = folder / "tiny"
    shutil.copytree(tiny_model, model)

    ran = program("model", "quantize", str(model), env={"REELMILL_STATE_DIR": str(folder / "state")})

    assert ran.status == 0, ran.err
    assert list((model / "transformer_fp8").glob("*.safetensors"))


ON_A_FARM = [
    "reelmill worker",
    "reelmill submit prompts.csv",
    "reelmill watch prompts",
    "reelmill doctor",
]


def test_the_farm_commands_drive_a_farm_and_the_sdk_reads_it(
    make_farm: Callable[..., Farm], tiny_model: Path, folder: Path
) -> None:
    farm = make_farm(model_dir=str(tiny_model))
    farm.start()  # runs `reelmill worker`
    env = farm.settings.to_env()

    submitted = program("submit", "prompts.csv", env=env, cwd=folder)
    watched = program("watch", "prompts", env=env, cwd=folder)
    examined = program("doctor", env=env, cwd=folder)
    script = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert script is not None
    sdk = subprocess.run(
        [sys.executable, "-c", script[1]], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )

    assert submitted.out.strip() == "prompts", submitted.err
    assert watched.status == 0, watched.err
    farm.assert_stored_once("prompts", [view.job_id for view in farm.ledger.jobs.page("prompts")])
    assert examined.status == 0, examined.out + examined.err
    assert sdk.returncode == 0, sdk.stderr
    assert sdk.stdout.count(".mp4") == 2


OVERNIGHT = [
    'reelmill submit prompts.csv --batch night --window "22:00-07:00 Europe/Vienna" --max-failures 5%',
    'reelmill schedule add "0 22 * * *" prompts.csv --tz Europe/Vienna',
    "reelmill plan --by 07:00",
    "reelmill top",
    "reelmill why night",
    "reelmill report night",
    "reelmill retry night",
    "reelmill webhook add https://hooks.example.com/reelmill",
]


def test_the_commands_of_a_night_do_what_they_say(settings: Settings, folder: Path) -> None:
    for command in OVERNIGHT:
        ran = program(*_arguments(command), env=settings.to_env(), cwd=folder)
        assert ran.status == 0, (command, ran.err)
        assert ran.out.strip(), command


def _arguments(command: str) -> list[str]:

    first, *rest = shlex.split(command)
    assert first == "reelmill"
    return rest
