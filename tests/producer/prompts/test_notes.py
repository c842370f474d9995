"""Notes: what was assumed of a file, each sentence once."""

from __future__ import annotations

from reelmill_producer.prompts.notes import MOST_NOTES, Notes


def test_a_note_comes_once_with_its_first_line_and_the_number_of_rows() -> None:
    notes = Notes()
    for line in (2, 5, 9):
        notes.add("an id is changed", line=line)
    notes.add("read as UTF-16")

    assert list(notes) == ["line 2 and 2 more: an id is changed", "read as UTF-16"]


def test_notes_are_bounded() -> None:
    notes = Notes()
    for number in range(MOST_NOTES + 5):
        notes.add(f"note {number}")

    assert len(list(notes)) == MOST_NOTES
