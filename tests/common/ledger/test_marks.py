"""Marks: a choice is kept as it was said, and a note that cannot be shown is refused."""

from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidJob
from reelmill_common.ledger.marks import MOST_NOTE_CHARS, ClipChoice, ClipMark, choice_text, read_choice


@pytest.mark.parametrize("mark", ClipMark)
@pytest.mark.parametrize("note", ["", "f", "the fox blinks", "ein schöner Fuchs 🦊", "x" * MOST_NOTE_CHARS])
def test_a_choice_is_read_as_it_was_written(mark: ClipMark, note: str) -> None:
    choice = ClipChoice(mark=mark, note=note)

    assert read_choice(choice_text(choice)) == choice


@pytest.mark.parametrize(
    ("note", "said"),
    [
        pytest.param("x" * (MOST_NOTE_CHARS + 1), "501 characters; use at most 500", id="too long"),
        pytest.param("good\nerror: forged", "write one line", id="line break"),
        pytest.param("\x1b[31mred", "cannot be seen", id="escape sequence"),
    ],
)
def test_a_note_that_cannot_be_shown_is_refused(note: str, said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        choice_text(ClipChoice(mark=ClipMark.REJECT, note=note))


def test_a_mark_of_a_later_version_is_passed_over() -> None:
    assert read_choice("zwhat") is None
