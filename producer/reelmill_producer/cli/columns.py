"""Columns of text that fit a terminal, measured in its cells: wide characters take two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

GAP = "  "
NARROWEST = 6
"""Cells below which a column is not cut while a wider one can be."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its style. `wide`: it continues over the columns after it, which its row leaves out."""

    text: str
    style: str = ""
    wide: bool = False


Row = Sequence[Cell]


def lay_out(head: Sequence[str], rows: Sequence[Row], width: int) -> list[list[Cell]]:
    """Return head and rows as lines of padded cells with `GAP` between them, none wider than `width` cells.

    The widest columns are cut first; a cut text ends in an ellipsis.
    """
    heads = [Cell(name, "bold") for name in head]
    widths = [cell_len(name) for name in head]
    for row in rows:
        for index, cell in enumerate(row):
            if not cell.wide:
                widths[index] = max(widths[index], cell_len(cell.text))
    widths = _narrowed(widths, width - len(GAP) * (len(head) - 1))
    return [_line(row, widths, width) for row in [heads, *rows]]


def cut(text: str, width: int) -> str:
    """Return a text in exactly `width` cells, cut with an ellipsis or filled with spaces."""
    if width < 1 or cell_len(text) <= width:
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - 1) + "…"


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    narrowed = list(widths)
    while (over := sum(narrowed) - room) > 0:
        widest = max(range(len(narrowed)), key=lambda index: narrowed[index])
        others = [width for index, width in enumerate(narrowed) if index != widest]
        least = max([NARROWEST, *(width for width in others if width < narrowed[widest])])
        step = min(over, max(1, narrowed[widest] - least))
        if narrowed[widest] <= 1:
            break  # no terminal is narrower than one cell a column
        narrowed[widest] -= step
    return narrowed


def _line(row: Row, widths: Sequence[int], width: int) -> list[Cell]:
    line: list[Cell] = []
    used = 0
    for index, cell in enumerate(row):
        last = index == len(widths) - 1
        size = width - used if cell.wide else min(widths[index], width - used)
        text = cut(cell.text, size)
        line.append(Cell(text if not last else text.rstrip(), cell.style))
        used += size + len(GAP)
        if cell.wide or used >= width:
            break
    return line
