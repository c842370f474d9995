"""CSV files: columns, quotes and delimiters."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.prompt_steps import read, refused, specs
from reelmill_common.jobs import RenderSpec


def test_a_csv_names_its_columns(tmp_path: Path) -> None:
    found = specs(tmp_path / "night.csv", 'id,prompt,seed,frames\nfox,"a fox, red",7,33\nowl,an owl,,\n')

    assert found == [
        ("fox", RenderSpec(prompt="a fox, red", seed=7, frames=33, profile="tiny")),
        ("owl", RenderSpec(prompt="an owl", profile="tiny")),
    ]


def test_a_quoted_csv_cell_may_hold_line_ends(tmp_path: Path) -> None:
    found = specs(tmp_path / "night.csv", 'prompt,seed\n"a fox\nin snow",7\nan owl,8\n')

    assert [(spec.prompt, spec.seed) for _, spec in found] == [("a fox in snow", 7), ("an owl", 8)]


def test_the_line_of_a_csv_row_after_a_long_cell_is_right(tmp_path: Path) -> None:
    message = refused(tmp_path / "night.csv", b'prompt,seed\n"a\nb\nc",1\nan owl,-1\n')

    assert "line 5: seed=-1" in message


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        pytest.param(b"promt,seed\nfox,1\n", "unknown column 'promt'; did you mean prompt?", id="misspelt column"),
        pytest.param(b"prompt,sede\nfox,1\n", "unknown column 'sede'; did you mean seed?", id="letters swapped"),
        pytest.param(b"prompt,frame\nfox,1\n", "did you mean frames?", id="letter missing"),
        pytest.param(b"prompt,prompt\nfox,owl\n", "stands twice", id="column twice"),
        pytest.param(b"seed\n1\n", "has no prompt column", id="no prompt column"),
        pytest.param(b"prompt\n\xff\xfe\n", "line 2: byte 1 (0xff) is not UTF-8", id="not UTF-8"),
        pytest.param(
            b"prompt\n\xeb\xe8\xf1\xe0 \xe2 \xf1\xed\xe5\xe3\xf3\n",
            "is not UTF-8; save the file as UTF-8",
            id="Cyrillic",
        ),
        pytest.param("prompt\n狐狸 a fox\n".encode("gbk"), "is not UTF-8; save the file as UTF-8", id="Chinese"),
        pytest.param("prompt\nfüchse\n".encode() + b"f\xfcchse\n", "as line 2 is; save the whole", id="two encodings"),
        pytest.param(b"PK\x03\x04 xlsx", "a spreadsheet or an archive (zip), not text", id="xlsx"),
        pytest.param(b"prompt\nfo\0x\n", "line 2: byte 3 is a NUL byte", id="NUL"),
        pytest.param(b"prompt,seed\na fox, red,7\n", "3 cells, but the header has 2", id="unquoted comma"),
        pytest.param(b'prompt,seed\na fox,7\n"an owl,8\na hare,9\n', "line 3: a quote is left open", id="open quote"),
        pytest.param(b'prompt,seed\n"a "red" fox",7\n', "line 2: not CSV", id="quote inside"),
        pytest.param(b"", "holds no prompts; write one a line", id="empty"),
        pytest.param(b"prompt,seed\n", "holds no prompts", id="header only"),
        pytest.param(b"\n\n", "holds no prompts", id="blank lines"),
    ],
)
def test_a_bad_csv_is_refused_with_what_to_do(tmp_path: Path, content: bytes, advice: str) -> None:
    assert advice in refused(tmp_path / "night.csv", content)


def test_an_open_quote_does_not_hide_that_later_lines_were_not_read(tmp_path: Path) -> None:
    rows = b"".join(b"a fox number %d,7\n" % number for number in range(20_000))

    message = refused(tmp_path / "night.csv", b'prompt,seed\n"an owl,8\n' + rows)

    assert "1 bad line and 0 good" in message
    assert "later ones not read" in message


def test_a_tab_separated_file_keeps_quotes_that_are_part_of_the_text(tmp_path: Path) -> None:
    rows = 'Prompt\tCategory\tNote\n"Yes" on a sign, at dusk\tSigns\ta "b" c\n"a ""red"" kite"\tToys\t\n'

    jobs, notes = read(tmp_path / "party.tsv", rows)

    assert [job.spec.prompt for job in jobs] == ['"Yes" on a sign, at dusk', 'a "red" kite']
    assert [dict(job.metadata) for job in jobs] == [{"category": "Signs", "note": 'a "b" c'}, {"category": "Toys"}]
    assert notes == ["kept as metadata: `Category`, `Note`"]


def test_a_file_of_one_column_takes_whole_lines(tmp_path: Path) -> None:
    jobs, _ = read(tmp_path / "a.csv", 'prompt\na fox, red, at dawn\n"an owl, ""old"""\n')

    assert [job.spec.prompt for job in jobs] == ["a fox, red, at dawn", 'an owl, "old"']
