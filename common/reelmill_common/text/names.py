"""Readable names, made from text in any script: of batches after their files, of rows after their prompts.

The names are keys: a change of the rules would rename rows that exist already (decision 0017).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

MOST_CHARS = 64
"""Most characters of the name of a batch or a row."""
HASH_CHARS = 8
KEYWORD_CHARS = 40
"""Most characters of the keywords of a prompt or of a varying value in the name of a row."""

_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[a-z0-9]+")
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "by",
        "to",
        "and",
        "or",
        "with",
        "its",
        "it",
        "is",
        "are",
        "as",
        "from",
        "into",
        "for",
        "his",
        "her",
        "their",
    ]
)


def slug(text: str) -> str:
    """Return the nearest usable name: ASCII, lower case, other characters as one dash, at most 64 long."""
    return _letters(text)[:MOST_CHARS].rstrip("-._") or "batch"


def file_slug(stem: str) -> str:
    """Return the name of the batch of a file: its slug, with a hash only where that is cut, or where nothing is left.

    Args:
        stem: Name of the file without folder and suffix.
    """
    name = _letters(stem)
    if name and len(name) <= MOST_CHARS:
        return name
    return hashed(name or "batch", stem)


def hashed(name: str, text: str) -> str:
    """Return a name with a short hash of a text at its end, at most 64 characters long."""
    digest = hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[: MOST_CHARS - HASH_CHARS - 1].rstrip('-._')}-{digest[:HASH_CHARS]}"


def joined(head: str, middle: list[str], tail: str) -> str:
    """Return the parts with dashes between them; the middle is cut to keep the whole within 64 characters."""
    room = MOST_CHARS - len(head) - len(tail) - bool(head) - bool(tail)
    return "-".join(filter(None, [head, "-".join(filter(None, middle))[: max(0, room)].strip("-"), tail]))


def keywords(text: str, most: int = KEYWORD_CHARS) -> str:
    """Return the significant words of a text, as many as fit into `most` characters, with dashes between them."""
    found = _WORD.findall(_ascii(text).lower().replace("'", ""))
    significant = [word for word in found if word not in _FILLERS] or found
    taken: list[str] = []
    for word in significant:
        if taken and sum(map(len, taken)) + len(taken) + len(word) > most:
            break
        taken.append(word)
    return "-".join(taken)[:most]


def _letters(text: str) -> str:
    name = re.sub(r"[^a-z0-9._]+", "-", _ascii(text).lower()).strip("-._")
    return re.sub(r"\.{2,}", ".", name)


def _ascii(text: str) -> str:
    """Return a text in Latin letters; ASCII is left as it is."""
    if text.isascii():
        return text
    from anyascii import anyascii  # noqa: PLC0415 - most names need no tables of scripts

    # `HuLi` of two Chinese characters is two words; capitals of the text's own ASCII are not.
    composed = unicodedata.normalize("NFC", text)
    return _FOREIGN.sub(lambda found: _HUMP.sub("-", str(anyascii(found[0]))), composed)
