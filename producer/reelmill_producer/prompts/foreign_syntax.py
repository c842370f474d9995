"""Syntax of other programs in prompts: formulas and errors of a spreadsheet, and marks that mean nothing here."""

from __future__ import annotations

import re

from reelmill_common.errors import InvalidJob
from reelmill_producer.prompts.columns import MISSING
from reelmill_producer.prompts.notes import Notes

_FORMULA = re.compile(
    r"""=\s*([A-Z][A-Z0-9.]*\s*\(|('[^']+'!|\w+!)?\$?[A-Z]{1,3}\$?[0-9]+\b|")""",
    re.IGNORECASE,
)
_ERROR = re.compile(r"#[A-Z\u00c0-\u00de0-9_/]+[!?]|#N/[AD]|#NV|Err:[0-9]{3}")
"""Errors of a spreadsheet in any language: `#REF!` is `#BEZUG!` in German."""
_SYNTAX = re.compile(
    r"<(?:lora|lyco|hypernet|embedding):[^>]*>|\([^()]*:\d+(?:\.\d+)?\)|\{[^{}|]*\|[^{}]*\}|\bBREAK\b|--(?:ar|neg|seed)\b"
)


def look_at_prompt(prompt: object, line: int, notes: Notes) -> None:
    """Refuse a formula or an error of a spreadsheet as a prompt, and note syntax of other programs.

    Raises:
        InvalidJob: The prompt is a formula, an error, or the mark of an empty cell.
    """
    if not isinstance(prompt, str):
        return
    text = prompt.strip()
    if _FORMULA.match(text):
        raise InvalidJob(f"prompt={text[:40]!r} is a formula of a spreadsheet; save the list with its values")
    if _ERROR.fullmatch(text):
        raise InvalidJob(f"prompt={text!r} is an error of a spreadsheet; correct its formula, and save the list again")
    if text.lower() in MISSING:
        raise InvalidJob(
            f"prompt={text!r} is what programs write into an empty cell; give the text that the clip should show, or "
            "remove the row"
        )
    if found := _SYNTAX.search(text.replace("&lt;", "<").replace("&gt;", ">")):
        notes.add(
            "the prompt has syntax of other programs that is plain text here, such as " + found[0][:40], line=line
        )
