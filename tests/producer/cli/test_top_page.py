"""The page of `reelmill top`: it fits every terminal, and counts what it leaves out."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios

import pytest
from rich.cells import cell_len
from rich.console import Console

from fixtures.hand import Hand
from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_common.ledger.snapshot import PAGE
from reelmill_common.settings import Settings
from reelmill_producer.cli.top import page


def submit(ledger: Ledger, name: str, count: int, **policy: object) -> None:
    specs = (RenderSpec(prompt="a fox", seed=seed, profile="tiny") for seed in range(count))
    jobs = (RenderJob(batch=name, row=f"r{spec.seed}", spec=spec) for spec in specs)
    ledger.batches.submit(Batch(name=name, **policy), jobs)  # type: ignore[arg-type]  # a test's shorthand


def test_what_does_not_fit_is_counted_in_the_title(ledger: Ledger) -> None:
    for index in range(PAGE + 7):
        submit(ledger, f"batch-{index}", 1, priority=index % 10)
    for index in range(30):
        ledger.workers.register(f"gpu{index}@host", "tiny", WorkerInfo())

    board = ledger.overview.snapshot()
    drawn = io.StringIO()
    Console(file=drawn, width=120, height=40).print(page(board, lines=40))

    assert len(board.batches) == PAGE + 7
    assert [batch.priority for batch in board.batches] == sorted((i % 10 for i in range(PAGE + 7)), reverse=True)
    assert f"of {PAGE + 7})" in drawn.getvalue()
    assert "of 30)" in drawn.getvalue()
    assert len(drawn.getvalue().splitlines()) <= 40


def test_a_hostile_name_draws_nothing_of_its_own(ledger: Ledger) -> None:
    submit(ledger, "night", 1, owner="[red]x[/red]")

    drawn = io.StringIO()
    Console(file=drawn, width=120).print(page(ledger.overview.snapshot(), lines=40))

    assert "[red]x[/red]" in drawn.getvalue()


HEADS = ("WORKER STATE LANE CLIP STAGE FOR", "BATCH OWNER PRIORITY CLIPS FAILED STATE CLIPS/H LEFT")


REASON = "failed 3 jobs in a row of 2 batches, the last with out_of_memory: 23.4 GiB of 24.0 GiB were in use"


NAMES = ("gpu0@render-node-with-a-very-long-name.studio.example.org", "gpu0@レンダーノード七号機", "gpu0@🦊🦉🐇-render")


def drawn(ledger: Ledger, width: int, height: int) -> list[str]:
    console = Console(file=(file := io.StringIO()), width=width, height=height)
    console.print(page(ledger.overview.snapshot(), lines=height))
    return file.getvalue().splitlines()


@pytest.fixture
def crowd(ledger: Ledger, hand: Hand) -> None:
    """30 workers, three of them under quarantine, and batches of long and wide names."""
    for index in range(29 - len(NAMES)):
        ledger.workers.register(f"gpu{index % 8}@node-{index // 8}", "tiny", WorkerInfo())
        ledger.workers.ready(f"gpu{index % 8}@node-{index // 8}", WorkerInfo())
    for name in NAMES:
        ledger.workers.register(name, "tiny", WorkerInfo())
        ledger.workers.quarantine(name, REASON)
    submit(ledger, "animals-in-the-snow-and-other-stories-of-a-very-long-winter-in-m", 40, owner="狐と梟と兎の工房")
    for index in range(30):
        submit(ledger, f"batch-{index}", 3, priority=index % 10)
    claimed = hand.claim()
    ledger.attempts.stage(claimed.job_id, claimed.token, "denoise 2/3", lease_s=60)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 15), (40, 10), (120, 200)])
def test_a_page_fits_every_terminal_and_counts_what_it_leaves_out(ledger: Ledger, width: int, height: int) -> None:
    lines = drawn(ledger, width, height)

    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width
    if width >= 80:
        found = [" ".join(line.split()) for line in lines]
        assert [head in found for head in HEADS] == [True, True]
        workers = found.index(HEADS[0])
        assert [line.count("quarantined") for line in lines[workers + 1 : workers + 4]] == [1, 1, 1]
        assert any("denoise 2/3" in line for line in lines)  # who works comes next
    shown = sum("@" in line for line in lines)
    more = [line for line in lines if line.startswith("… ")]
    if height < 60:
        assert more[0].startswith(f"… {30 - shown} more: ")
        assert len(more) == 2
    else:
        assert (shown, more) == (30, [])


@pytest.mark.usefixtures("crowd")
def test_the_reason_of_a_quarantine_has_the_rest_of_its_line(ledger: Ledger) -> None:
    assert any(REASON in line for line in drawn(ledger, 200, 50))
    assert any("failed 3 jobs in a row" in line for line in drawn(ledger, 80, 24))


@pytest.mark.services
@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_on_a_real_terminal_it_fills_the_screen_and_no_more(settings: Settings, width: int, height: int) -> None:
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, (height, width))
    env = {**os.environ, **settings.to_env(), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    command = [sys.executable, "-m", "reelmill_producer", "top", "--interval", "0.2"]
    printed = b""
    with subprocess.Popen(command, stdin=keyboard, stdout=keyboard, stderr=keyboard, env=env) as ran:
        try:
            while printed.count(b"\x1b[H") < 3:  # each page begins at the top
                assert select.select([screen], [], [], 60)[0], "nothing more was drawn"
                printed += os.read(screen, 65536)
        finally:
            ran.send_signal(signal.SIGINT)
            while ran.poll() is None:
                if select.select([screen], [], [], 0.1)[0]:
                    printed += os.read(screen, 65536)
    os.close(screen)
    os.close(keyboard)

    drawn_page = printed.decode().split("\x1b[H")[2].split("\x1b[?1049l")[0]
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn_page).split("\r\n")
    assert len(lines) <= height
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert sum(" ".join(line.split()) in HEADS for line in lines) == 2
