"""A reader that has gone ends a command in silence."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from fixtures.cli import environment
from reelmill_common.settings import Settings
from reelmill_producer.cli.console import UNREAD

pytestmark = pytest.mark.services


PRINTING = [
    "--help", "--version", "submit --help", "schedule --help", "status", "status night", "status night --jobs",
    "status night --json", "watch night --json", "why night", "plan", "top --once", "top --json", "logs night",
    "logs night --json", "results night", "results night --json", "export night", "report night --json", "accounts",
    "archive --help", "pause night", "render 'a ball' --no-wait", "owner", "policy night",
    "schedule list", "webhook list --json", "doctor", "doctor --gpu H100", "model check --help",
]  # fmt: skip


@pytest.mark.parametrize("texts", PRINTING)
def test_a_command_whose_reader_has_gone_ends_silently(texts: str, settings: Settings, begun: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ran = subprocess.run(
        [sys.executable, "-m", "reelmill_producer", *shlex.split(texts)],
        env=environment(settings.to_env()),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)

    assert (ran.returncode, ran.stderr) == (UNREAD, "")


def test_a_pipe_into_head_shows_the_first_line_and_nothing_else(settings: Settings, begun: str) -> None:
    reelmill = f"{shlex.quote(sys.executable)} -m reelmill_producer"
    script = f"set -o pipefail; {reelmill} watch night --json 2>&1 | head -1; echo status $?"

    ran = subprocess.run(
        ["bash", "-c", script],
        env=environment(settings.to_env()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    first, status = ran.stdout.splitlines()  # and it ends, though a clip of the batch goes on waiting
    assert first.startswith('{"event_id"')
    assert (status, ran.stderr) == (f"status {UNREAD}", "")
