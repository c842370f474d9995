"""What a person does in the first minutes: pipes into `head`, presses Ctrl-C, asks for the version, mistypes a name."""

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

from fixtures.cli import Cli, environment, started
from fixtures.hand import Hand
from fixtures.valkey import wait_for
from reelmill_common import __version__
from reelmill_common.jobs import Batch, JobState, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.cli.console import UNREAD

pytestmark = pytest.mark.services


@pytest.fixture
def night(ledger: Ledger, hand: Hand) -> str:
    """A batch with a clip that is stored, one that was cancelled, and one that waits."""
    specs = [RenderSpec(prompt=f"a fox crosses river {n}", profile="tiny", frames=5) for n in range(3)]
    ledger.batches.submit(
        Batch(name="night"), [RenderJob(batch="night", row=f"clip-{n}", spec=spec) for n, spec in enumerate(specs)]
    )
    hand.finish(hand.claim())
    waiting = [job.job_id for job in ledger.jobs.page("night") if not job.state.is_final]
    ledger.jobs.cancel(waiting[0])
    return "night"


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


PRINTING = [
    "--help", "--version", "submit --help", "schedule --help", "status", "status night", "status night --jobs",
    "status night --json", "watch night --json", "why night", "plan", "top --once", "top --json", "logs night",
    "logs night --json", "results night", "results night --json", "export night", "report night --json", "accounts",
    "archive --help", "pause night", "render 'a ball' --no-wait", "owner", "policy night",
    "schedule list", "webhook list --json", "doctor", "doctor --gpu H100", "model check --help",
]  # fmt: skip


@pytest.mark.parametrize("texts", PRINTING)
def test_a_command_whose_reader_has_gone_ends_silently(texts: str, settings: Settings, night: str) -> None:
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


def test_a_pipe_into_head_shows_the_first_line_and_nothing_else(settings: Settings, night: str) -> None:
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


@pytest.mark.parametrize("texts", ["watch night", "submit {file} --batch night --wait", "render 'an owl'"])
def test_ctrl_c_says_that_the_batch_goes_on_and_how_to_follow_or_end_it(
    texts: str, settings: Settings, night: str, tmp_path: Path
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


def test_ctrl_c_on_a_terminal_says_so_too(settings: Settings, night: str) -> None:
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


def test_ctrl_c_while_a_cancel_is_confirmed_says_that_it_stands(
    settings: Settings, night: str, hand: Hand, ledger: Ledger
) -> None:
    hand.claim()

    with started("cancel", "night", env=settings.to_env()) as command:
        wait_for(lambda: ledger.jobs.page("night", states=[JobState.CANCEL_REQUESTED]), what="the request")
        command.interrupt()
        status = command.wait()

    assert status == 130
    assert "the cancel stands" in command.err


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    assert cli("--version").out == f"reelmill {__version__}\n"


MISTYPED = [
    pytest.param("status nihgt", 66, "no batch 'nihgt'; did you mean 'night'? `reelmill status` lists", id="batch"),
    pytest.param("watch Night", 66, "did you mean 'night'?", id="watch"),
    pytest.param("cancel nigth/clip-2", 66, "no batch 'nigth'; did you mean 'night'?", id="the batch of a job"),
    pytest.param("logs nigth", 66, "did you mean 'night'?", id="logs"),
    pytest.param("export nigth", 66, "did you mean 'night'?", id="export"),
    pytest.param("download nigth here", 66, "did you mean 'night'?", id="download"),
    pytest.param("audit nigth", 66, "did you mean 'night'?", id="audit"),
    pytest.param("results nigth", 66, "did you mean 'night'?", id="results"),
    pytest.param("report nigth", 66, "did you mean 'night'?", id="report"),
    pytest.param("policy nigth", 66, "did you mean 'night'?", id="policy"),
    pytest.param("pause nigth", 66, "did you mean 'night'?", id="pause"),
    pytest.param("window nigth none", 66, "did you mean 'night'?", id="window"),
    pytest.param("why night/clip-22", 66, "no row 'clip-22'; did you mean 'clip-2'?", id="row"),
    pytest.param("retry night --only clip_1", 66, "did you mean 'clip-1'?", id="row of an option"),
    pytest.param("forgive hnad@test", 66, "did you mean 'hand@test'? known are hand@test", id="worker"),
    pytest.param("logs hand@tset", 66, "did you mean 'hand@test'?", id="logs of a worker"),
    pytest.param("schedule show nihgtly", 66, "did you mean 'nightly'? `reelmill schedule list`", id="schedule"),
    pytest.param("schedule remove nihgtly", 66, "did you mean 'nightly'?", id="schedule to remove"),
    pytest.param("accounts --owner an", 66, "did you mean 'ann'?", id="owner"),
    pytest.param("submit --profile tny a.txt", 78, "did you mean 'tiny'? known are", id="profile"),
    pytest.param("rendr 'a fox'", 2, "Did you mean 'render'", id="command"),
    pytest.param("schedule lst", 2, "Did you mean 'list'", id="command of a group"),
    pytest.param("submit --priorty 3 a.txt", 2, "--priority", id="option"),
]


@pytest.mark.parametrize(("texts", "status", "said"), MISTYPED)
def test_a_mistyped_name_is_answered_with_the_one_that_may_be_meant(
    texts: str, status: int, said: str, cli: Cli, night: str, hand: Hand, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "nightly.txt").write_text("an owl\n")
    spec = RenderSpec(prompt="an owl", profile="tiny", frames=5)
    ledger.batches.submit(Batch(name="owls", owner="ann"), [RenderJob(batch="owls", row="owl", spec=spec)])
    for _ in range(2):
        hand.finish(hand.claim())
    cli("schedule", "add", "0 22 * * *", tmp_path / "nightly.txt", "--tz", "UTC")

    ran = cli(*shlex.split(texts))

    assert (ran.status, ran.out) == (status, "")
    assert said in " ".join(ran.err.split())


def test_a_name_that_is_like_none_is_answered_with_the_list(cli: Cli, night: str) -> None:
    assert "no batch 'absent'; `reelmill status` lists the batches" in cli("status", "absent").err
