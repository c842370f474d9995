"""Lines of a prompt file: bounded, decoded one by one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from producer.prompt_steps import check, read, refused
from reelmill_producer.prompts.lines import MAX_LINE_BYTES


def test_a_carriage_return_inside_a_line_is_refused(tmp_path: Path) -> None:
    assert "carriage return" in refused(tmp_path / "night.txt", b"a fox\ran owl\n")


def test_a_line_of_50_mb_is_refused_without_being_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "night.txt").open("wb") as file:
        file.write(b"a fox\n")
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b"\nan owl\n")

    tracemalloc.start()
    report = check(tmp_path / "night.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert report.rows == 2
    assert report.bad[0].line == 2
    assert f"50,000,000 bytes; use at most {MAX_LINE_BYTES:,}" in report.bad[0].reason
    assert peak < 4_000_000


def test_a_line_at_the_limit_is_no_longer_too_long(tmp_path: Path) -> None:
    message = refused(tmp_path / "night.txt", b"x" * MAX_LINE_BYTES + b"\r\n" + b"x" * (MAX_LINE_BYTES + 1))

    assert "line 1: prompt has 131072 characters" in message
    assert "line 2: the line has 131,073 bytes" in message


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    jobs, notes = read(
        tmp_path / "a.csv", "prompt\nthe fox\u2019s den, at dawn\nSchwarzwälder Torte\n".encode("cp1252")
    )

    assert [job.spec.prompt for job in jobs] == ["the fox's den, at dawn", "Schwarzwälder Torte"]
    assert "read as Windows-1252" in notes[0]
