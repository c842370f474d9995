"""Progress on a terminal and in a pipe, and what Ctrl-C says about the batch."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.cli import environment, started
from reelmill_common.settings import Settings

pytestmark = pytest.mark.services


@contextmanager
def a_terminal(*args: str, env: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Run the program with a terminal of its own, where Ctrl-C is a key; yield the keyboard and the screen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "reelmill_producer", *args],
        env=environment(env) | {"TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the test has no threads
    ) as process:
        os.close(theirs)
        try:
            yield ours, ours
            assert process.wait(60) == 130
        finally:
            process.kill()
            os.close(ours)


def until(text: str, screen: int) -> str:
    """Return what is shown up to a text; the test's timeout is the deadline."""
    shown = ""
    while text not in shown:
        shown += os.read(screen, 65536).decode(errors="replace")
    return shown


@pytest.mark.parametrize("texts", ["watch night", "submit {file} --batch night --wait", "render 'an owl'"])
def test_ctrl_c_says_that_the_batch_goes_on_and_how_to_follow_or_end_it(
    texts: str, settings: Settings, begun: str, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("an owl at dusk\n")

    with started(*shlex.split(texts.format(file=tmp_path / "more.txt")), env=settings.to_env()) as command:
        command.wait_for_line("done")
        command.interrupt()
        status = command.wait()

    batch = "night" if "night" in texts else "an-owl-"
    assert status == 130
    assert f"batch {batch}" in command.err
    assert f"goes on; `reelmill watch {batch}" in command.err
    assert f"`reelmill cancel {batch}" in command.err
    assert command.err.endswith("interrupted\n")
    assert "Traceback" not in command.err


def test_ctrl_c_on_a_terminal_says_so_too(settings: Settings, begun: str) -> None:
    with a_terminal("watch", "night", env=settings.to_env()) as (keyboard, screen):
        shown = until("2/3", screen)
        os.write(keyboard, b"\x03")
        shown += until("interrupted", screen)

    assert "batch night goes on; `reelmill watch night` follows it, `reelmill cancel night` ends it" in shown
    assert "Traceback" not in shown


def test_ctrl_c_on_a_farm_of_ones_own_says_that_the_rest_waits(tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("".join(f"a fox {n}\n" for n in range(9)))
    env = Settings(state_dir=tmp_path / "state", profile="tiny", renderer="fixed:1", tick_s=0.2, lease_s=5.0).to_env()

    with started("submit", str(tmp_path / "night.txt"), "--wait", env=env) as command:
        command.wait_for_line("1/9 done")
        command.interrupt(signal.SIGINT)
        status = command.wait()

    assert status == 130
    assert "what is left of batch night waits for the next farm here: `reelmill up` goes on with it" in command.err
    assert "`reelmill cancel night` ends it" in command.err
