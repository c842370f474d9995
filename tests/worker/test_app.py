"""The application that Celery imports: light in the parent, refusing without a model, one line per log event."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from reelmill_common.settings import Settings
from reelmill_worker import logs


def python(code: str, settings: Settings, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | settings.to_env() | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_parent_loads_neither_torch_nor_a_muxer(settings: Settings) -> None:
    code = (
        "import sys, reelmill_worker.app; print([name for name in ('torch', 'av', 'diffusers') if name in sys.modules])"
    )

    done = python(code, settings)

    assert done.stdout.strip() == "[]", done.stderr


def test_help_loads_neither_torch_nor_celery(settings: Settings) -> None:
    code = (
        "import sys, reelmill_worker.commands.worker; "
        "print([name for name in ('torch', 'celery') if name in sys.modules])"
    )

    done = python(code, settings)

    assert done.stdout.strip() == "[]", done.stderr


def test_a_process_without_a_model_renders_nothing_and_returns_the_message(settings: Settings) -> None:
    code = """
from celery.exceptions import Reject
from reelmill_worker.app import render
try:
    render.run(job_id="j", generation=1)
except Reject as err:
    print(err.requeue, err.reason)
"""

    done = python(code, settings)

    assert done.stdout.strip() == "True this process has no model", done.stderr


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


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_restored")
def test_our_events_and_the_libraries_records_are_json_lines_of_one_form() -> None:
    stream = io.StringIO()

    logs.configure(level="info", form="auto", stream=stream)
    structlog.get_logger("reelmill").info("clip.rendered", key="night/0.mp4")
    logging.getLogger("kombu.connection").warning("broker is %s", "away")
    structlog.get_logger("reelmill").debug("claim.refused")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["clip.rendered", "broker is away"]
    assert lines[0]["key"] == "night/0.mp4"
    assert {"level", "timestamp"} <= lines[1].keys()


@pytest.mark.usefixtures("logging_restored")
def test_celerys_lines_that_show_a_message_stay_quiet_at_info() -> None:
    stream = io.StringIO()

    logs.configure(level="info", form="json", stream=stream)
    logging.getLogger("celery.worker.strategy").info("Task reelmill.render received: a fox in the snow")

    assert stream.getvalue() == ""
