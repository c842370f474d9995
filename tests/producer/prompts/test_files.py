"""Prompt files: rows are checked before any is submitted, and bad lines are listed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from producer.prompt_steps import TINY, refused, specs
from reelmill_common.errors import InvalidJob, InvalidPromptFile
from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompts.files import MAX_REPORTED, open_prompt_file
from reelmill_producer.prompts.lines import MAX_LINE_BYTES


def test_a_row_wins_over_the_defaults(tmp_path: Path) -> None:
    found = specs(tmp_path / "night.jsonl", '{"prompt": "a fox", "profile": "fastwan-qad-fp8"}\n')

    assert found[0][1].profile == "fastwan-qad-fp8"


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    content = "prompt,seed\na fox,7\n,8\nan owl,-1\na hare,x\n"

    message = refused(tmp_path / "night.csv", content.encode())

    assert "3 bad lines and 1 good" in message
    assert [line.split(":")[0] for line in message.splitlines() if line.startswith("  line")] == [
        "  line 3",
        "  line 4",
        "  line 5",
    ]
    assert "--skip-invalid" in message


def test_a_flood_of_bad_lines_is_counted_beyond_the_first_hundred(tmp_path: Path) -> None:
    message = refused(tmp_path / "night.csv", b"prompt,seed\n" + b"a fox,-1\n" * 1234)

    assert "1,234 bad lines" in message
    assert message.count("  line ") == MAX_REPORTED
    assert "and 1,134 more" in message


def test_what_was_checked_is_submitted_though_the_file_changes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "night.txt").write_text("a fox\n")

    with open_prompt_file(str(tmp_path / "night.txt"), io.BytesIO(), defaults=TINY) as prompts:
        prompts.checked()
        (tmp_path / "night.txt").write_text("x" * MAX_LINE_BYTES)

        assert [job.spec.prompt for job in prompts.jobs("night")] == ["a fox"]


def test_standard_input_is_a_file_too() -> None:
    with open_prompt_file("-", io.BytesIO(b"a fox\nan owl\n"), form="txt", defaults=TINY) as prompts:
        report = prompts.checked()
        jobs = list(prompts.jobs("night"))

    assert report.rows == len(jobs) == 2
    assert prompts.batch_name == "stdin"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("-", "standard input has no name to tell its format; say --format txt or csv", id="stdin"),
        pytest.param("night.xlsx", "does not tell its format; say --format", id="another suffix"),
        pytest.param("absent.csv", "No such file", id="absent"),
        pytest.param("folder.csv", "Is a directory", id="a folder"),
        pytest.param(".", "Is a directory", id="the folder itself"),
        pytest.param("nul\0.csv", "cannot read", id="impossible name"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    path = name if name == "-" else str(tmp_path / name)

    with (
        pytest.raises(InvalidPromptFile, match=advice),
        open_prompt_file(path, io.BytesIO(b"a fox\n")),
    ):
        pass


def test_a_further_check_refuses_its_rows(tmp_path: Path) -> None:
    def no_owls(spec: RenderSpec) -> None:
        if "owl" in spec.prompt:
            raise InvalidJob("no owls")

    (tmp_path / "night.txt").write_text("a fox\nan owl\n")

    with open_prompt_file(str(tmp_path / "night.txt"), io.BytesIO(), defaults=TINY, admit=no_owls) as prompts:
        report = prompts.check()

    assert [(item.line, item.reason) for item in report.bad] == [(2, "no owls")]


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("Night Shift (7).csv", "night-shift-7"),
        ("prompts.jsonl", "prompts"),
        ("Füchse im Schnee.txt", "fuchse-im-schnee"),
        ("夜班 7.txt", "ye-ban-7"),
        ("ночь.txt", "noch"),
        ("🦊.txt", "fox"),
        ("—.txt", "batch-bda05058"),
        ("x" * 70 + ".txt", "x" * 55 + "-c71bd109"),
    ],
)
def test_the_batch_is_named_after_the_file(tmp_path: Path, name: str, batch: str) -> None:
    (tmp_path / name).write_text("prompt\n")

    with open_prompt_file(str(tmp_path / name), io.BytesIO()) as prompts:
        assert prompts.batch_name == batch
