"""The program behind `make faults`: one row of it, with few jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.services


def matrix(*arguments: str, timeout_s: float = 150.0) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("REELMILL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.matrix", *arguments],
        cwd=TESTS.parent,
        env=env | {"PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.terminate()  # not killed: it has servers and workers to end
        out, err = process.communicate()
        pytest.fail(f"the program did not end within {timeout_s} s: {out} {err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_a_row_is_measured_from_outside_and_put_on_the_page(tmp_path: Path) -> None:
    done = matrix("--only", "messages", "--jobs", "24", "--out", str(tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "fault-matrix.json").read_text())["rows"]
    assert row["kept"]
    assert [row[name] for name in ("jobs", "lost", "published_twice", "rendered_twice", "claims")] == [24, 0, 0, 0, 24]
    assert int(row["remarks"].split()[0]) >= 4 * 12  # four lies for each job that was seen under way
    page = (tmp_path / "fault-matrix.md").read_text()
    assert "| duplicated and stale messages (`messages`) |" in page


def test_an_unknown_row_is_refused_with_the_names_that_there_are() -> None:
    done = matrix("--only", "earthquake")

    assert done.returncode == 2
    assert "invalid choice: 'earthquake'" in done.stderr
    assert "redis-killed" in done.stderr
