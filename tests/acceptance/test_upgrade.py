"""A rolling upgrade: a worker of the last release and one of today on one Redis finish each job once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.farm import Farm, RunningWorker, changed_settings, specs
from reelmill_common.jobs import JobState
from reelmill_common.ledger.views import read_result

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
LAST_RELEASE = "0ac0e88"
"""The last commit before tokens had words, manifests claims, and the ledger a `mend`."""


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the last release, from this repository's history."""
    archive = subprocess.run(["git", "archive", LAST_RELEASE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"commit {LAST_RELEASE} is not in this clone: {archive.stderr.decode()[:200]}")
    folder = tmp_path_factory.mktemp("last-release")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        # Python before 3.11.4 knows no filters; the archive is git's own.
        tar.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]
    code = "import reelmill_common, reelmill_worker; print(reelmill_common.__file__, reelmill_worker.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | paths_of(folder), capture_output=True, text=True
    )
    assert found.stdout.count(str(folder)) == 2, found
    return folder


def paths_of(release: Path) -> dict[str, str]:
    """What makes a process import that release instead of the installed one."""
    return {"PYTHONPATH": os.pathsep.join(str(release / part) for part in ("common", "producer", "worker"))}


@pytest.fixture
def both(make_farm: Callable[..., Farm], last_release: Path) -> tuple[Farm, RunningWorker, RunningWorker]:
    """A farm with a worker of each release."""
    farm = make_farm(renderer="fixed:0.1")
    old = farm.start(name="old", env=paths_of(last_release))
    return farm, old, farm.start(name="new")


def test_workers_of_two_releases_finish_each_job_once(both: tuple[Farm, RunningWorker, RunningWorker]) -> None:
    farm, old, new = both
    jobs = farm.submit("night", specs(24))

    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 24
    farm.assert_stored_once("night", jobs)
    assert {farm.ledger.jobs.get(job).worker for job in jobs} == {old.node, new.node}


def test_what_a_worker_of_the_other_release_lost_is_made_once_by_the_other(
    both: tuple[Farm, RunningWorker, RunningWorker],
) -> None:
    farm, old, _ = both
    jobs = farm.submit("night", specs(24))
    farm.wait_count("night", JobState.SUCCEEDED, 4)

    old.kill()
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 24
    farm.assert_stored_once("night", jobs)


def test_a_producer_of_the_last_release_submits_and_reads(make_farm: Callable[..., Farm], last_release: Path) -> None:
    farm = make_farm(renderer="fixed:0.05")
    farm.start()
    file = farm.folder / "night.txt"
    file.write_text("a fox crosses a river\nan owl over a wood\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    env |= changed_settings(farm.settings) | paths_of(last_release)

    def old_command(*args: str) -> str:
        code = "from reelmill_producer.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", code, *args], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    old_command("submit", str(file), "--wait")
    printed = [json.loads(line) for line in old_command("results", "night", "--json").splitlines()]

    keys = {result.key for job in farm.ledger.jobs.every("night") if (result := job.result)}
    assert len(keys) == 2
    assert all(any(key in json.dumps(line) for line in printed) for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            json.dumps({"key": "night/a.mp4", "sha256": "ab", "size_bytes": 7, "latents_sha256": "cd", "seconds": {}}),
            id="an object, as the first versions wrote it",
        ),
        pytest.param(json.dumps(["night/a.mp4", "ab", 7, "cd"]), id="a list"),
        pytest.param(json.dumps(["night/a.mp4", "ab", 7, "cd", {}, 0.5, None, "", "new"]), id="a later version's list"),
    ],
)
def test_a_result_of_another_version_never_has_a_figure_in_the_place_of_its_key(text: str) -> None:
    result = read_result(text)

    assert (result.key, result.sha256, result.size_bytes, result.latents_sha256) == ("night/a.mp4", "ab", 7, "cd")
