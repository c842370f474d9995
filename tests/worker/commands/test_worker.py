"""`reelmill worker`: what it refuses before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reelmill_common.settings import Settings


def worker_command(settings: Settings, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reelmill_worker", "worker", *arguments],
        env=os.environ | settings.to_env() | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "arguments", "advice"),
    [
        pytest.param({"REELMILL_LEASE_S": "0.1"}, [], "'0.1' is not a number from 2 to 600", id="a wrong setting"),
        pytest.param({"REELMILL_REDIS_URL": ""}, [], "or run `reelmill up`", id="no farm to work for"),
        pytest.param({}, ["--devices", "x"], "there are none, or use cpu", id="devices that are none"),
        pytest.param({}, ["--profile", "huge"], "known are fastwan-qad-fp8, tiny", id="an unknown profile"),
        pytest.param({}, ["--name", "Night Shift"], "use for example 'night-shift'", id="a name that is none"),
    ],
)
def test_what_cannot_work_is_answered_in_one_line_with_what_to_do(
    settings: Settings, env: dict[str, str], arguments: list[str], advice: str
) -> None:
    done = worker_command(settings, *arguments, **env)

    assert done.returncode == 78
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert advice in done.stderr


def test_a_wrong_password_is_refused_before_anything_starts(settings: Settings) -> None:
    wrong = settings.redis_url.replace("://:", "://:x")

    done = worker_command(settings, "--devices", "cpu", REELMILL_REDIS_URL=wrong)

    assert done.returncode == 78
    assert "password" in done.stderr
    assert wrong.split("@")[0] not in done.stderr
