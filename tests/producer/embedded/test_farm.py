"""The embedded farm: real processes on this machine, found by other commands, stopped in order, gone on with.

The renderer is the one of fixed duration: what is tested here is who starts, finds and stops whom.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from fixtures.cli import program, started
from fixtures.embedded import client, record_of, server_runs, state_dir, until_ready
from reelmill_common.jobs import JobState
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.processes import start_of

pytestmark = pytest.mark.services


def test_render_brings_its_own_farm_and_takes_it_away_again(embedded_env: dict[str, str]) -> None:
    arguments = ("render", "a red fox", "--frames", "5", "--seeds", "1..2", "--json")

    first = program(*arguments, env=embedded_env)
    log_size = (state_dir(embedded_env) / "worker.log").stat().st_size
    again = program(*arguments, env=embedded_env)

    jobs = [json.loads(line) for line in first.out.splitlines()]
    assert (first.status, again.status) == (0, 0)
    assert [(job["spec"]["seed"], job["state"], job["attempts"]) for job in jobs] == [
        (1, "succeeded", 1),
        (2, "succeeded", 1),
    ]
    for job in jobs:
        assert (state_dir(embedded_env) / "clips" / job["clip"]["key"]).stat().st_size == job["clip"]["size_bytes"]
    assert [json.loads(line) for line in again.out.splitlines()] == jobs
    assert (
        state_dir(embedded_env) / "worker.log"
    ).stat().st_size == log_size  # nothing was left to do: no worker was started
    assert state_file.running(state_dir(embedded_env)) is None
    assert not server_runs(embedded_env)


def test_an_interrupted_farm_is_gone_on_with(embedded_env: dict[str, str], six_clips: Path) -> None:
    with started("submit", str(six_clips), "--wait", env=embedded_env | {"REELMILL_RENDERER": "fixed:1"}) as first:
        first.wait_for_line("clip-0 seed 1024 succeeded")
        first.interrupt(signal.SIGTERM)
        first_status = first.wait()

    with started("up", env=embedded_env) as up, client(embedded_env) as farm:
        between = farm.batch("night").counts  # the worker is only about to start
        after = farm.wait("night").counts
        up.interrupt()
        up.wait()

    assert first_status == 130
    assert "the clip in hand is finished first" in first.err
    assert 0 < between[JobState.SUCCEEDED] < 6
    assert between[JobState.RUNNING] == between[JobState.FAILED] == 0
    assert after[JobState.SUCCEEDED] == 6


def test_a_farm_whose_process_was_killed_is_taken_over(embedded_env: dict[str, str], six_clips: Path) -> None:
    with started("up", env=embedded_env) as up:
        until_ready(up)
        orphan = record_of(embedded_env).worker_pid
        os.kill(up.process.pid, signal.SIGKILL)
        up.wait()
        survived = start_of(orphan)
        done = program("submit", str(six_clips), "--wait", "--json", env=embedded_env)

    assert survived
    assert done.status == 0
    assert json.loads(done.out)["counts"]["succeeded"] == 6
    assert not start_of(orphan)


def test_a_worker_that_is_unfit_ends_the_wait(embedded_env: dict[str, str], six_clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    unfit = embedded_env | {"REELMILL_STORE_URL": (tmp_path / "file" / "clips").as_uri()}

    ran = program("submit", str(six_clips), "--wait", env=unfit)

    assert ran.status == 69
    assert "the worker has ended with status 69" in ran.err
    assert "is not a folder" in ran.err
    assert "What waits is kept" in ran.err


def test_a_model_that_is_not_there_is_told_with_how_to_get_it(embedded_env: dict[str, str]) -> None:
    ran = program(
        "render", "a fox", env=embedded_env | {"REELMILL_RENDERER": "model", "REELMILL_PROFILE": "fastwan-qad-fp8"}
    )

    assert ran.status == 78
    assert "fetch it with `reelmill model pull`" in ran.err
