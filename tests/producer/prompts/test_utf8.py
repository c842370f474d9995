"""The text of a prompt file as UTF-8, whatever encoding it has."""

from __future__ import annotations

from pathlib import Path

from producer.prompt_steps import check
from reelmill_producer.prompts.files import FileReport


def test_a_byte_order_mark_and_dos_line_ends_are_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "night.csv").write_bytes(b"\xef\xbb\xbfprompt,seed\r\na fox,7\r\n")

    assert check(tmp_path / "night.csv") == FileReport(rows=1, duplicates=0, bad=(), bad_count=0)
