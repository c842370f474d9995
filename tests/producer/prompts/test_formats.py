"""Formats: what a suffix stands for, and text files that are another format."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from producer.prompt_steps import read, refused, specs
from reelmill_producer.prompts.files import open_prompt_file


def test_a_text_file_has_one_prompt_a_line_and_comments(tmp_path: Path) -> None:
    found = specs(tmp_path / "night.txt", "# the foxes\na red fox\n\n  a grey fox  \n")

    assert [spec.prompt for _, spec in found] == ["a red fox", "a grey fox"]
    assert [row for row, _ in found] == ["red-fox-s1024", "grey-fox-s1024"]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("prompt,seed\na fox,1\n", "csv"),
        ("id\tcaption\tseed\n1\ta fox\t1\n", "csv"),
        ("# mine\nprompt\na fox\n", "csv"),
        ("| prompt | concept |\n|---|---|\n", "csv"),
        ('{"prompt": "a fox"}\n', "jsonl"),
        ('["a fox",\n"an owl"]\n', "jsonl"),
        ("- prompt: a fox\n", "yaml"),
    ],
)
def test_another_format_under_the_name_of_a_text_is_not_rendered_line_by_line(
    tmp_path: Path, content: str, form: str
) -> None:
    message = refused(tmp_path / "a.txt", content)

    assert f"say --format {form}, or --format txt if each line is a prompt" in message
    with open_prompt_file(str(tmp_path / "a.txt"), io.BytesIO(), form="txt", defaults={"profile": "tiny"}) as prompts:
        assert prompts.checked().rows


@pytest.mark.parametrize(
    "prompt", ["text, neon, sign", "[snow] a fox", "{fox}", "caption", "a prompt, a seed", "- a fox"]
)
def test_a_prompt_that_only_looks_like_another_format_is_one(tmp_path: Path, prompt: str) -> None:
    assert [job.spec.prompt for job in read(tmp_path / "a.txt", prompt + "\n")[0]] == [prompt]


def test_an_id_of_any_script_is_written_as_a_key_and_kept(tmp_path: Path) -> None:
    jobs, notes = read(tmp_path / "a.csv", "id,prompt\nShot 01,a\nscène-3,b\n001,c\n镜头 2,d\n")

    assert [job.row for job in jobs] == ["shot-01", "scene-3", "001", "jing-tou-2"]
    assert [job.metadata.get("id", "") for job in jobs] == ["Shot 01", "scène-3", "", "镜头 2"]
    assert "line 2 and 2 more: an id is written with" in notes[0]
