"""Producers where the system has less: Windows' Python, no /proc, no worker extra."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.cli import program, started
from fixtures.hand import Hand
from fixtures.platforms import MACOS, PRODUCER, WINDOWS, WITHOUT_CELERY, Machine, run
from fixtures.valkey import wait_for
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.embedded import state_file
from reelmill_producer.embedded.processes import start_of

pytestmark = pytest.mark.services


@pytest.fixture
def night(tmp_path: Path) -> str:
    (tmp_path / "night.csv").write_text("id,prompt,frames\nfox,a fox,5\nowl,an owl,5\n")
    return str(tmp_path / "night.csv")


@pytest.fixture
def embedded(tmp_path: Path) -> dict[str, str]:
    """Settings of a farm of this machine alone."""
    return Settings(
        state_dir=tmp_path / "state", profile="tiny", renderer="fixed:0.1", tick_s=0.2, lease_s=5.0
    ).to_env()


MACHINES = {"Windows": WINDOWS, "macOS": MACOS, "without Celery": WITHOUT_CELERY}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_a_producer_submits_follows_and_reads_a_farm_elsewhere(
    machine: Machine, settings: Settings, hand: Hand, night: str
) -> None:
    env = settings.to_env() | {"REELMILL_PROFILE": "tiny"}

    tried = machine.program("submit", night, "--dry-run", "--json", env=env)
    submitted = machine.program("submit", night, env=env)
    for _ in range(2):
        hand.finish(hand.claim())
    watched = machine.program("watch", "night", env=env)
    status = machine.program("status", "night", "--json", env=env)
    results = machine.program("results", "night", "--json", env=env)
    reported = machine.program("report", "night", env=env)  # writes into the store, a folder

    assert (tried.status, json.loads(tried.out)["new"]) == (0, 2), tried.err
    assert (submitted.status, submitted.out) == (0, "night\n"), submitted.err
    assert watched.status == 0, watched.err
    assert json.loads(status.out)["outcome"] == "succeeded"
    assert len(results.out.splitlines()) == 2, results.err
    assert reported.status == 0, reported.err


def test_every_module_of_a_producer_is_imported_without_what_windows_lacks() -> None:
    every = (
        "import importlib, pkgutil, reelmill_common, reelmill_producer\n"
        "for package in (reelmill_common, reelmill_producer):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not found.name.endswith('__main__'): importlib.import_module(found.name)"
    )

    with_extras = replace(WINDOWS, loaded=(*WINDOWS.loaded, "mcp.server.mcpserver", "numpy", "PIL.Image", "pdqhash"))

    done = run(with_extras.python(every), env={})

    assert done.status == 0, done.err


@pytest.mark.parametrize("texts", [("status",), ("up",), ("render", "a fox"), ("watch", "night"), ("pause", "night")])
def test_an_embedded_farm_is_refused_on_windows_with_what_to_set(
    texts: tuple[str, ...], embedded: dict[str, str]
) -> None:
    ran = WINDOWS.program(*texts, env=embedded)

    assert ran.status == 78, ran.err
    assert "needs Linux or macOS; set REELMILL_REDIS_URL" in ran.err
    assert "Traceback" not in ran.err


def test_a_killed_farm_is_taken_over_without_proc(embedded: dict[str, str], night: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    embedded |= MACOS.everywhere(tmp_path / "site")  # workers too
    folder = Path(embedded["REELMILL_STATE_DIR"])
    with started("up", env=embedded) as up:
        up.wait_for_line("ready;")
        orphan = wait_for(lambda: state_file.running(folder), what="a running farm").worker_pid
        os.kill(up.process.pid, signal.SIGKILL)
        up.wait()
    survived = start_of(orphan)

    done = program("submit", night, "--wait", "--json", env=embedded)

    assert survived
    assert (done.status, json.loads(done.out)["counts"]["succeeded"]) == (0, 2), done.err
    wait_for(lambda: not start_of(orphan), what="the end of the first worker")


def test_a_user_without_a_home_is_no_bug_of_ours(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HOME")
    nameless = Machine(modules=("pwd",))
    elsewhere = {name: text for name, text in settings.to_env().items() if name != "REELMILL_STATE_DIR"}

    asked = nameless.program("status", env=elsewhere, cwd=tmp_path)
    alone = nameless.program("status", env={}, cwd=tmp_path)
    named = program("status", env={"REELMILL_STATE_DIR": "~nobody-of-that-name/x"})
    shown = program("show", "~nobody-of-that-name/x.mp4", env=settings.to_env())

    assert (asked.status, asked.err) == (0, "")
    assert (alone.status, f"no farm has run in {tmp_path}/.reelmill yet" in alone.err) == (75, True)
    assert (named.status, "begins with an unknown home" in named.err) == (78, True)
    assert shown.status == 66


RENDERING = [
    pytest.param(("render", "a fox"), id="render"),
    pytest.param(("up",), id="up"),
    pytest.param(("demo", "{night}"), id="demo"),
    pytest.param(("submit", "{night}", "--wait"), id="submit --wait"),
    pytest.param(("rerender", "{night}"), id="rerender"),
    pytest.param(("worker",), id="worker"),
    pytest.param(("model", "tiny"), id="model"),
]


@pytest.mark.parametrize("texts", RENDERING)
def test_what_renders_here_is_refused_without_the_worker_extra_before_anything_is_made(
    texts: tuple[str, ...], embedded: dict[str, str], night: str, tmp_path: Path
) -> None:
    there = set(tmp_path.iterdir())

    ran = PRODUCER.program(*(word.format(night=night) for word in texts), env=embedded, cwd=tmp_path)

    assert (ran.status, ran.out) == (78, "")
    assert f"`reelmill {texts[0]}" in ran.err
    assert "needs the extra reelmill[worker]: torch, diffusers, transformers, safetensors, av are not" in ran.err
    root = Path(__file__).parents[2]
    assert f"pip install -e '{root}[worker]'" in ran.err  # this installation is one of a clone
    assert set(tmp_path.iterdir()) == there  # no queue, no server, no folder


def test_a_producer_without_the_extra_asks_a_farm_elsewhere_to_render(settings: Settings, ledger: Ledger) -> None:
    ran = PRODUCER.program("render", "a fox", "--no-wait", env=settings.to_env())

    assert ran.status == 0, ran.err
    assert [batch.remaining for batch in ledger.batches.all()] == [1]


def test_a_producer_without_the_extra_uses_a_farm_that_somebody_runs_here(embedded: dict[str, str], night: str) -> None:
    with MACOS.started("up", env=embedded) as up:
        up.wait_for_line("ready;")
        ran = PRODUCER.program("submit", night, "--wait", env=embedded)
        up.interrupt()
        up.wait()

    assert ran.status == 0, ran.err


def test_a_submit_without_a_server_to_keep_it_says_what_to_install(embedded: dict[str, str], night: str) -> None:
    ran = PRODUCER.program("submit", night, env=embedded | {"PATH": "/nowhere"})
    then = program("status", env=embedded)

    assert ran.status == 78
    assert "no server for the embedded farm is installed; run" in ran.err
    assert "no farm has run" in then.err  # and nothing was left that looks like one
