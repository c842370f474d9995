"""Marks: what a person says of a clip, favourite or reject, with a note."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reelmill_common.errors import InvalidJob
from reelmill_common.text.terminal_text import is_printable

MOST_NOTE_CHARS = 500


class ClipMark(StrEnum):
    """Whether a clip is wanted. A clip without a mark has not been chosen either way."""

    FAVOURITE = "favourite"
    REJECT = "reject"


_LETTERS = {mark.value[0]: mark for mark in ClipMark}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipChoice:
    """What a person said of a clip.

    Attributes:
        note: Why, in one line of at most 500 characters; untrusted text. Empty: no reason was given.
    """

    mark: ClipMark
    note: str = ""


def choice_text(choice: ClipChoice) -> str:
    """Write a choice as the ledger keeps it: the first letter of the mark, and the note.

    Raises:
        InvalidJob: The note cannot be kept.
    """
    if len(choice.note) > MOST_NOTE_CHARS:
        raise InvalidJob(f"the note has {len(choice.note):,} characters; use at most {MOST_NOTE_CHARS}")
    if not is_printable(choice.note):
        raise InvalidJob(
            f"the note {choice.note[:40]!r} holds a line break or characters that cannot be seen; write one line"
        )
    return f"{choice.mark.value[0]}{choice.note}"


def read_choice(text: str) -> ClipChoice | None:
    """Read what `choice_text` wrote; None for a mark of a later version."""
    mark = _LETTERS.get(text[:1])
    return None if mark is None else ClipChoice(mark=mark, note=text[1:])
