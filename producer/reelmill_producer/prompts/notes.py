"""Notes for people: what was assumed while a prompt file was read, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_NOTES = 30


@dataclass(slots=True)
class Notes:
    """Sentences in the order in which they were added.

    Attributes:
        rows: By sentence: the line of the first row that it is about, and the number of such rows; 0 and 0 if it is
            about the file.
    """

    rows: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def add(self, text: str, *, line: int = 0) -> None:
        """Add a sentence; with a line if it is about that row."""
        first, count = self.rows.get(text, (line, 0))
        if text in self.rows or len(self.rows) < MOST_NOTES:
            self.rows[text] = (first, count + bool(line))

    def __iter__(self) -> Iterator[str]:
        for text, (line, count) in self.rows.items():
            more = f" and {count - 1:,} more" if count > 1 else ""
            yield f"line {line}{more}: {text}" if line else text
