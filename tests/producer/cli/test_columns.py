"""Columns that fit a terminal: in line below their heads whatever the characters, and cut where there is no room."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from reelmill_producer.cli.columns import Cell, cut, lay_out

NAMES = (
    "gpu0@render-node-with-a-very-long-name.studio.example.org",
    "gpu0@レンダーノード七号機",
    "gpu0@🦊🦉🐇-render",
    "",
)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_columns_stand_under_their_heads_whatever_the_characters(width: int) -> None:
    rows = [
        (Cell(name), Cell("ready"), Cell("a reason that takes the rest of the line " * 3, wide=True)) for name in NAMES
    ]

    head, *lines = ["  ".join(cell.text for cell in line) for line in lay_out(("WORKER", "STATE", "FOR"), rows, width)]

    at = cell_len(head.partition("STATE")[0])
    assert len(lines) == len(NAMES)
    for line in (head, *lines):
        before = next(index for index in range(len(line) + 1) if cell_len(line[:index]) == at)
        assert line[before:].startswith(("STATE", "ready", "rea…"))
        assert cell_len(line) <= width


def test_the_widest_column_is_cut_first() -> None:
    (_, line) = lay_out(("A", "B"), [(Cell("x" * 50), Cell("short"))], 20)

    assert [cell.text for cell in line] == ["x" * 12 + "…", "short"]


@pytest.mark.parametrize(("text", "width", "want"), [("狐狐狐", 4, "狐 …"), ("狐", 4, "狐  "), ("fox", 0, "")])
def test_a_text_takes_exactly_its_cells(text: str, width: int, want: str) -> None:
    assert cut(text, width) == want
