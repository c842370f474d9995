"""Turns: as many models load at once as there is memory for, and a dead loader holds nobody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fixtures.valkey import wait_for
from reelmill_worker.host import load_limit
from reelmill_worker.host.load_limit import free_bytes, load_permit, model_bytes, places

HOLD = """
import sys, time
from pathlib import Path
from reelmill_worker.host.load_limit import load_permit
with load_permit(Path(sys.argv[1]), 2**60, on_wait=lambda: None):
    Path(sys.argv[1], "held").touch()
    time.sleep(600)
"""


def load_beside(folder: Path, need: int) -> tuple[threading.Thread, threading.Event, threading.Event]:
    """Start to load in another thread; return it, and whether it had to wait and whether it may load."""
    waited, loaded = threading.Event(), threading.Event()

    def load() -> None:
        with load_permit(folder, need, on_wait=waited.set):
            loaded.set()

    thread = threading.Thread(target=load)
    thread.start()
    return thread, waited, loaded


def test_a_second_model_waits_where_memory_is_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_limit, "LOOK_S", 0.01)
    with load_permit(tmp_path, 2**60, on_wait=lambda: None):
        thread, waited, loaded = load_beside(tmp_path, 2**60)
        assert waited.wait(60)
        assert not loaded.is_set()

    assert loaded.wait(60)
    thread.join()


def test_models_load_together_where_memory_is_for_several(tmp_path: Path) -> None:
    with load_permit(tmp_path, 1, on_wait=lambda: None):
        thread, waited, loaded = load_beside(tmp_path, 1)

        assert loaded.wait(60)
        assert not waited.is_set()
        thread.join()


def test_a_loader_that_is_killed_gives_its_turn_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_limit, "LOOK_S", 0.01)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)])
    wait_for((tmp_path / "held").exists, what="the other loader")
    thread, waited, loaded = load_beside(tmp_path, 2**60)
    assert waited.wait(60)

    os.kill(process.pid, signal.SIGKILL)

    assert loaded.wait(60)
    process.wait()
    thread.join()


@pytest.mark.parametrize(("free", "need", "count"), [(100, 16, 6), (15, 16, 1), (0, 16, 1)])
def test_there_are_as_many_turns_as_models_fit_and_one_at_least(free: int, need: int, count: int) -> None:
    assert places(free, need) == count


def test_a_containers_limit_counts_without_the_files_that_it_has_cached(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 900 kB\nMemAvailable:    800 kB\n")
    before = free_bytes(meminfo, tmp_path)
    for name, text in {"max": "500000", "current": "300000", "stat": "anon 1\ninactive_file 100000"}.items():
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")

    assert before == 800 * 1024
    assert free_bytes(meminfo, tmp_path) == 300_000


def test_a_load_takes_what_its_weights_do(tmp_path: Path) -> None:
    for name, size in {
        "transformer/a.safetensors": 5,
        "text_encoder/b.safetensors": 7,
        "text_encoder/c.json": 9,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))

    assert model_bytes(tmp_path) == 12
