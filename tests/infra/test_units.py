from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.cli import program
from fixtures.deployment import ROOT
from reelmill_common.errors import InvalidSettings, WorkerUnfit
from reelmill_common.settings import PREFIX, Settings

UNIT = (ROOT / "infra/systemd/reelmill-worker@.service").read_text()
CONSOLE = (ROOT / "infra/systemd/reelmill-console.service").read_text()
EXAMPLE = (ROOT / "infra/systemd/worker.env.example").read_text()


@pytest.mark.parametrize(("name", "text"), [("reelmill-worker@0", UNIT), ("reelmill-console", CONSOLE)])
def test_the_unit_is_one_that_systemd_accepts(tmp_path: Path, name: str, text: str) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace("/opt/reelmill/bin/reelmill", "/bin/true"))

    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert name.partition("@")[0] not in done.stderr


def test_the_settings_of_the_unit_and_of_its_example_are_known() -> None:
    example = dict(re.findall(rf"^#?({PREFIX}\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    unit = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", UNIT))

    settings = Settings.from_env(example | unit)

    assert settings.store_url == "s3://clips"
    assert settings.state_dir == Path("/var/lib/reelmill")


@pytest.mark.slow
def test_libraries_keep_what_they_compile_where_the_unit_lets_them_write(tmp_path: Path) -> None:
    (folder,) = re.findall(r"^CacheDirectory=(\S+)$", UNIT, re.MULTILINE)
    settings = [pair for line in re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE) for pair in line.split()]
    unit = dict(pair.split("=", 1) for pair in settings)
    caches = {name: path for name, path in unit.items() if "CACHE" in name or name == "HF_HOME"}
    image = (ROOT / "infra/docker/worker.Dockerfile").read_text()
    assert len(caches) >= 4
    assert all(path.startswith(f"/var/cache/{folder}") for path in caches.values())
    assert all(f"{name}={path}" in image for name, path in caches.items())
    env = {name: value.replace("/var", str(tmp_path)) for name, value in unit.items()}
    code = (
        "import huggingface_hub.constants as hub, torch._inductor.runtime.cache_dir_utils as inductor\n"
        "import triton\n"
        "print(hub.HF_HOME, hub.HF_HUB_CACHE, inductor.cache_dir(), triton.knobs.cache.dir, sep='\\n')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=120
    )

    places = done.stdout.splitlines()
    assert len(places) == 4
    assert all(place.startswith(f"{tmp_path}/cache/{folder}/") for place in places), places


def test_the_unit_starts_a_command_with_options_that_exist() -> None:
    (command,) = re.findall(r"^ExecStart=/opt/reelmill/bin/reelmill (.+)$", UNIT, re.MULTILINE)
    arguments = command.replace("%i", "0").split()

    ran = program(*arguments, "--help", env={})

    assert ran.status == 0, ran.err
    assert {"--devices"} <= {argument for argument in arguments if argument.startswith("--")} <= set(ran.out.split())


def test_the_unit_of_the_console_starts_a_command_that_exists() -> None:
    (command,) = re.findall(r"^ExecStart=/opt/reelmill/bin/reelmill (.+)$", CONSOLE, re.MULTILINE)
    unit = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", CONSOLE.partition("[Service]")[2]))

    assert program(*command.split(), "--help", env={}).status == 0
    assert Settings.from_env(unit).console_address == "127.0.0.1"
    assert f"RestartPreventExitStatus={InvalidSettings.exit_status}" in CONSOLE


def test_a_worker_that_a_person_must_look_at_is_not_started_again() -> None:
    (prevented,) = re.findall(r"^RestartPreventExitStatus=(.+)$", UNIT, re.MULTILINE)

    assert {int(status) for status in prevented.split()} == {WorkerUnfit.exit_status, InvalidSettings.exit_status}


def test_systemd_waits_for_the_clip_in_hand() -> None:
    (timeout,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)

    assert int(timeout) >= Settings().clip_hard_limit_s + 120  # and its delivery, DRAIN_S of the worker
    assert "KillMode=mixed" in UNIT
