"""The words that the `tiny` profile learned, and which words of a prompt are not among them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

LIST = "tiny_vocabulary.txt"
"""Written by `python -m training artifact`; a test compares it with the vocabulary of the weights."""
_UNNAMED = """
about above across after along am are around as be been before behind below beside between both but during each for has
have he her his inside into is its near of off onto or our own she some than that their them then there these they this
those through towards upon very was we were when where which with without you your s
"""
UNNAMED = frozenset(_UNNAMED.split())
"""Words that show nothing by themselves: the model ignores them, so they need no note."""


@cache
def learned() -> frozenset[str]:
    """Return the words in lower case."""
    return frozenset((files("reelmill_common.text") / LIST).read_text(encoding="utf-8").split())


def unknown_in(prompt: str) -> list[str]:
    """Return the words of a prompt that tiny did not learn, in order, each once, in lower case."""
    found = re.findall(r"[^\W\d_]+", prompt.lower())
    return [word for word in dict.fromkeys(found) if word not in learned() and word not in UNNAMED]
