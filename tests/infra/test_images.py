"""No engine builds images in the tests; what can be known of a Dockerfile without one is checked here."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.cli import program
from fixtures.deployment import ROOT
from reelmill_common.settings import PREFIX, Settings

DOCKERFILES = sorted((ROOT / "infra/docker").glob("*.Dockerfile"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a Dockerfile: its instructions, each a (word, rest) with line ends joined."""

    name: str
    base: str
    instructions: list[tuple[str, str]]

    def last(self, word: str) -> str | None:
        return next((rest for name, rest in reversed(self.instructions) if name == word), None)


def stages(path: Path) -> dict[str, Stage]:
    """Read a Dockerfile; a stage built on another begins with the other's instructions."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    current: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = list(found[base].instructions) if base in found else []
            found[name] = Stage(name=name, base=base, instructions=current)
        else:
            current.append((word, rest.strip()))
    return found


def dockerfile(name: str) -> dict[str, Stage]:
    return stages(ROOT / f"infra/docker/{name}.Dockerfile")


@pytest.fixture(params=["worker gpu", "worker cpu", "producer producer", "producer flower", "producer console"])
def image(request: pytest.FixtureRequest) -> Stage:
    name, target = request.param.split()
    return dockerfile(name)[target]


def test_every_service_builds_a_target_that_exists(composition: dict[str, Any]) -> None:
    built = {name: service["build"] for name, service in composition["services"].items() if "build" in service}

    assert set(built) == {"worker", "worker-cpu", "console", "flower", "metrics", "producer"}
    for build in built.values():
        assert Path(build["context"]) == ROOT
        assert build["target"] in stages(ROOT / build["dockerfile"])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_whatever_is_copied_from_the_tree_is_there_and_let_through(path: Path) -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = {
        source
        for stage in stages(path).values()
        for word, rest in stage.instructions
        if word == "COPY" and "--from" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    }

    assert {"pyproject.toml", "constraints.txt", "common", "producer", "worker"} <= copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == entry or source.startswith(entry + "/") for entry in let_through), source


def test_what_the_package_is_built_from_is_copied() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {package.split("/")[0] for package in wheel["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    needed |= {wheel["project"]["readme"], *wheel["project"]["license-files"], "pyproject.toml"}

    for name in ("worker", "producer"):
        copied = " ".join(rest for word, rest in dockerfile(name)["reelmill"].instructions if word == "COPY").split()
        assert len(needed) >= 5
        assert needed <= set(copied)


def test_passwords_and_models_stay_out_of_the_build(tmp_path: Path) -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    assert lines[0] == "*"
    for secret in (".env", ".git", "demo", ".venv", "models"):
        assert not [line for line in lines[1:] if line.startswith("!") and fnmatch.fnmatch(secret, line[1:])]


def test_an_image_runs_as_an_ordinary_user(image: Stage) -> None:
    assert image.last("USER") == "reelmill"


def test_an_image_keeps_to_the_pinned_versions(image: Stage) -> None:
    installs = [
        part for word, rest in image.instructions if word == "RUN" for part in re.findall(r"pip install ([^&]+)", rest)
    ]

    assert installs
    assert all("-c /tmp/constraints.txt" in part or "--no-deps" in part for part in installs)


def test_an_image_watches_its_own_health(image: Stage) -> None:
    checks = (ROOT / "infra/docker/health.py").read_text()
    command = json.loads(str(image.last("HEALTHCHECK")).partition(" CMD ")[2])

    assert command[0] == "health"
    assert f'"{command[1]}": {command[1]}' in checks


def test_what_an_image_sets_are_settings(image: Stage) -> None:
    pairs = dict(
        re.findall(rf"({PREFIX}\w+)=(\S+)", " ".join(rest for word, rest in image.instructions if word == "ENV"))
    )

    assert Settings.from_env(pairs).state_dir == Path("/var/lib/reelmill")


@pytest.mark.services
def test_what_an_image_runs_is_a_command(image: Stage) -> None:
    entry = json.loads(str(image.last("ENTRYPOINT")))
    command = json.loads(str(image.last("CMD")))

    ran = program(*command, *([] if "--help" in command else ["--help"]), env={})

    assert entry[-1] == "reelmill"
    assert ran.status == 0, ran.err
    assert "Usage:" in ran.out


def test_sage_attention_is_compiled_for_the_gpus_that_we_promise() -> None:
    stage = dockerfile("worker")["sageattention"]
    arguments = dict(rest.split("=", 1) for word, rest in stage.instructions if word == "ARG")

    assert arguments["TORCH_CUDA_ARCH_LIST"] == '"8.0;8.6;8.9;9.0;12.0"'  # A100, RTX 30, RTX 40, H100, RTX 50
    assert re.fullmatch(r"[0-9a-f]{40}", arguments["SAGEATTENTION_COMMIT"])
    assert dockerfile("worker")["gpu"].base == "base"


def test_the_versions_are_pinned_and_name_nobodys_server() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.]+", pin) for pin in pins)
    assert "torch==2.13.0" in pins


def test_every_requirement_of_ours_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted}

    assert names - pinned == {"reelmill", "sageattention"}  # the second is built from source in the image


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
