"""The embedded farm: real processes on this machine, found by other commands, stopped in order, gone on with.

The renderer is the one of fixed duration: what is tested here is who starts, finds and stops whom.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from fixtures.cli import Running, program, started
from fixtures.page import Page
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger import WorkerState
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.farm import has_run
from reelmill_producer.embedded.processes import start_of
from reelmill_producer.embedded.state_file import FarmRecord

EXAMPLES = Path(__file__).parents[3] / "examples" / "prompts.csv"

pytestmark = pytest.mark.services


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Settings of an embedded farm of the test's own."""
    settings = Settings(
        state_dir=tmp_path / "state", profile="tiny", renderer="fixed:0.1", tick_s=0.2, lease_s=5.0, log_format="json"
    )
    return settings.to_env()


@pytest.fixture
def night(tmp_path: Path) -> Path:
    file = tmp_path / "night.csv"
    file.write_text("id,prompt,frames\n" + "".join(f"clip-{n},a fox crosses river {n},5\n" for n in range(6)))
    return file


def state_dir(env: Mapping[str, str]) -> Path:
    return Path(env["REELMILL_STATE_DIR"])


def record_of(env: Mapping[str, str]) -> FarmRecord:
    return wait_for(lambda: state_file.running(state_dir(env)), what="a running farm")


def client(env: Mapping[str, str]) -> Reelmill:
    """Another terminal, in this process: finds the farm by its state folder."""
    record_of(env)
    return Reelmill.from_env(env)


def server_runs(env: Mapping[str, str]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int((state_dir(env) / "valkey" / "port").read_text()))) == 0


def until_ready(up: Running) -> None:
    up.wait_for_line("ready; `reelmill submit FILE`")


def test_render_brings_its_own_farm_and_takes_it_away_again(env: dict[str, str]) -> None:
    arguments = ("render", "a red fox", "--frames", "5", "--seeds", "1..2", "--json")

    first = program(*arguments, env=env)
    log_size = (state_dir(env) / "worker.log").stat().st_size
    again = program(*arguments, env=env)

    jobs = [json.loads(line) for line in first.out.splitlines()]
    assert (first.status, again.status) == (0, 0)
    assert [(job["spec"]["seed"], job["state"], job["attempts"]) for job in jobs] == [
        (1, "succeeded", 1),
        (2, "succeeded", 1),
    ]
    for job in jobs:
        assert (state_dir(env) / "clips" / job["clip"]["key"]).stat().st_size == job["clip"]["size_bytes"]
    assert [json.loads(line) for line in again.out.splitlines()] == jobs
    assert (state_dir(env) / "worker.log").stat().st_size == log_size  # nothing was left to do: no worker was started
    assert state_file.running(state_dir(env)) is None
    assert not server_runs(env)


def test_other_terminals_find_the_farm_of_up(env: dict[str, str], night: Path) -> None:
    with started("up", env=env) as up:
        until_ready(up)
        second = program("up", env=env)
        waited = program("submit", str(night), "--wait", "--json", env=env)
        with client(env) as farm:
            workers = [worker.state for worker in farm.workers()]
        mode = stat.S_IMODE((state_dir(env) / "farm.json").stat().st_mode)
        record = record_of(env)
        up.interrupt()
        ended = up.wait()

    assert second.status == 0
    assert "a farm runs in" in second.err
    assert json.loads(waited.out)["counts"]["succeeded"] == 6
    assert workers == [WorkerState.READY]
    assert mode == 0o600
    assert ended == 0
    assert not start_of(record.worker_pid)
    assert not server_runs(env)
    for said in (up.out, up.err, second.out, second.err, waited.err):
        assert "redis://" not in said  # the URL holds the password


def test_an_interrupted_farm_is_gone_on_with(env: dict[str, str], night: Path) -> None:
    with started("submit", str(night), "--wait", env=env | {"REELMILL_RENDERER": "fixed:1"}) as first:
        first.wait_for_line("clip-0 seed 1024 succeeded")
        first.interrupt(signal.SIGTERM)
        first_status = first.wait()

    with started("up", env=env) as up, client(env) as farm:
        between = farm.batch("night").counts  # the worker is only about to start
        after = farm.wait("night").counts
        up.interrupt()
        up.wait()

    assert first_status == 130
    assert "the clip in hand is finished first" in first.err
    assert 0 < between[JobState.SUCCEEDED] < 6
    assert between[JobState.RUNNING] == between[JobState.FAILED] == 0
    assert after[JobState.SUCCEEDED] == 6


def test_a_farm_whose_process_was_killed_is_taken_over(env: dict[str, str], night: Path) -> None:
    with started("up", env=env) as up:
        until_ready(up)
        orphan = record_of(env).worker_pid
        os.kill(up.process.pid, signal.SIGKILL)
        up.wait()
        survived = start_of(orphan)
        done = program("submit", str(night), "--wait", "--json", env=env)

    assert survived
    assert done.status == 0
    assert json.loads(done.out)["counts"]["succeeded"] == 6
    assert not start_of(orphan)


def test_the_demo_leaves_clips_and_a_page_and_finds_them_the_second_time(env: dict[str, str], tmp_path: Path) -> None:
    arguments = ("demo", "--dir", str(tmp_path / "demo"), str(EXAMPLES))

    first = program(*arguments, env=env)
    again = program(*arguments, env=env)
    clips = sorted(path.suffix for path in (tmp_path / "demo" / "clips" / "prompts").glob("*-*"))
    shown = Page((tmp_path / "demo" / "index.html").read_text())
    next((tmp_path / "demo" / "clips" / "prompts").glob("ball-????????.mp4")).unlink()
    spoiled = program(*arguments, env=env)

    assert (first.status, first.out) == (0, f"{tmp_path}/demo/index.html\n")
    assert (again.status, again.out) == (0, first.out)
    assert "nothing new: batch prompts has all 7 jobs already" in again.err
    assert "starting a worker" not in again.err
    assert clips == [".jpg"] * 7 + [".json"] * 7 + [".mp4"] * 7
    links = [*(tag["data-clip"] for tag in shown.all("button")), *(tag["src"] for tag in shown.all("img"))]
    links += [tag["href"] for tag in shown.all("a")]
    assert {str(link).partition("/")[0] for link in links} == {"clips"}  # no server, and the folder may be moved
    assert sorted(Path(str(link)).suffix for link in links) == clips
    assert spoiled.status == 66
    assert "is no longer in" in spoiled.err


def test_a_worker_that_is_unfit_ends_the_wait(env: dict[str, str], night: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    unfit = env | {"REELMILL_STORE_URL": (tmp_path / "file" / "clips").as_uri()}

    ran = program("submit", str(night), "--wait", env=unfit)

    assert ran.status == 69
    assert "the worker has ended with status 69" in ran.err
    assert "is not a folder" in ran.err
    assert "What waits is kept" in ran.err


def test_a_submit_without_a_farm_is_kept_for_the_next_one(env: dict[str, str], night: Path) -> None:
    ran = program("submit", str(night), env=env)
    watch = program("watch", "night", env=env)

    assert (ran.status, ran.out) == (0, "night\n")
    assert "no farm runs here; `reelmill up` renders what waits" in ran.err
    assert watch.status == 75
    assert "no farm runs; `reelmill up` goes on with it" in watch.err


def test_asking_a_farm_that_never_ran_makes_none(env: dict[str, str]) -> None:
    ran = program("status", env=env)

    assert ran.status == 75
    assert "no farm has run in" in ran.err
    assert not has_run(state_dir(env))


def test_a_state_folder_that_cannot_be_made_is_told(env: dict[str, str], night: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ran = program("submit", str(night), env=env | {"REELMILL_STATE_DIR": str(tmp_path / "file" / "state")})

    assert ran.status == 78
    assert "cannot write the state folder" in ran.err
    assert "REELMILL_STATE_DIR" in ran.err


def test_up_is_refused_where_the_farm_runs_elsewhere(settings: Settings) -> None:
    ran = program("up", env=settings.to_env())

    assert ran.status == 78
    assert "REELMILL_REDIS_URL is set, so the farm runs elsewhere" in ran.err


def test_a_model_that_is_not_there_is_told_with_how_to_get_it(env: dict[str, str]) -> None:
    ran = program("render", "a fox", env=env | {"REELMILL_RENDERER": "model", "REELMILL_PROFILE": "fastwan-qad-fp8"})

    assert ran.status == 78
    assert "fetch it with `reelmill model pull`" in ran.err
