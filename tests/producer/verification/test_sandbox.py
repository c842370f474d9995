"""A reader that dies, or takes too long, is an answer too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reelmill_producer.verification import sandbox


def impostor(folder: Path, body: str) -> str:
    """Return a program that takes the arguments of an interpreter and does something else."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11", id="crashes"),
        pytest.param("raise MemoryError", "status 1", id="has no memory left"),
        pytest.param("print('{')", "no answer", id="answers half"),
        pytest.param("import time; time.sleep(60)", "more than", id="never ends"),
    ],
)
def test_a_reader_that_fails_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    monkeypatch.setattr(sandbox, "MOST_S", 0.7)
    monkeypatch.setattr(sys, "executable", impostor(tmp_path, body))

    assert said in sandbox.read(tmp_path / "clip.mp4", "signature")["error"]


def test_a_reader_gets_no_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REELMILL_REDIS_URL", "redis://:secret@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    body = "import os, json; print(json.dumps({'names': list(os.environ)}))"
    monkeypatch.setattr(sys, "executable", impostor(tmp_path, body))

    names = sandbox.read(tmp_path / "clip.mp4", "looks")["names"]

    assert "OPENBLAS_NUM_THREADS" in names
    assert not [name for name in names if name.startswith(("REELMILL", "AWS"))]
