"""Syntax of other programs in prompts."""

from __future__ import annotations

from pathlib import Path

from producer.prompt_steps import read


def test_syntax_of_other_programs_is_told(tmp_path: Path) -> None:
    _, notes = read(tmp_path / "a.txt", "a fox\n<lora:x:0.8> a fox\n(fox:1.3) in snow\nan owl at 3:1\n")

    assert [note.partition(":")[0] for note in notes] == ["line 2", "line 3"]
