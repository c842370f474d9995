"""One standard word for each thing: no old word is left in code, tests, documents or file names.

`pytest tests/repository/test_vocabulary.py -k ledger` shows what is left in the areas whose name has "ledger" in it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fixtures.repository import PACKAGES, ROOT, tracked

EVERYWHERE = {
    "courier": "publisher",
    "parcel": "pending clip",
    "packer": "clip writer",
    "desk": "job runner",
    "tally": "counters",
    "chore": "periodic task",
    "doorman": "egress policy",
    "mailroom": "webhook store",
    "stranger": "anonymous or untrusted",
    "shelf": "embedding cache",
    "staff": "worker registry",
    "census": "queue statistics",
    "sulk": "back-off",
    "glance": "cached columns",
    "retelling": "logs",
    "worn": "prior attempts",
    "unshut": "open",
    "unready": "leave share",
    "spots": "owner levels",
    "moment": "time or timestamp",
    "complain": "log_once",
}
"""A word that stands nowhere, whole or as a part of an identifier, nor does its plural -> what to write."""

IDENTIFIERS = {
    "trouble": "error or problem",
    "figures": "metrics or numbers",
    "told": "printed, logged, reported, …",
    "tell": "print, log, report, emit, …",
    "telling": "text or report",
    "words": "text",
    "heed": "obey, apply or handle",
    "heeded": "obeyed, applied or handled",
    "card": "gpu",
}
"""A word that is plain English in prose, and too vague for a name in code -> what to write."""

IN_A_FOLDER = {
    ("worker/reelmill_worker", "posts"): "slots",
    ("worker/reelmill_worker", "posting"): "slot",
    ("worker/reelmill_worker/host", "turn"): "load permit",
    ("worker/reelmill_worker/child", "turn"): "load permit",
}
"""A word that had one meaning too many, and what stands for it in the identifiers of one folder."""

STORED = "a name in stored data"
ALLOWED = {
    ("producer/reelmill_producer/prompts/tables.py", "words"): "counts the words of a sentence",
    ("common/reelmill_common/ledger/records.py", "trouble"): STORED,
    ("common/reelmill_common/ledger/worker_info.py", "trouble"): STORED,
    ("common/reelmill_common/ledger/lua/lib/base.lua", "worn"): STORED,
    ("common/reelmill_common/ledger/lua/lib/base.lua", "spots"): STORED,
    ("common/reelmill_common/ledger/lua/lib/move.lua", "spots"): STORED,
    ("common/reelmill_common/ledger/keys.py", "worn"): STORED,
    ("common/reelmill_common/ledger/schema.py", "worn"): STORED,
    ("common/reelmill_common/ledger/schema.py", "spots"): STORED,
    ("docs/reference/ledger.md", "worn"): STORED,
    ("docs/reference/ledger.md", "spots"): STORED,
    ("tests/common/ledger/test_gaps.py", "spots"): STORED,
    ("tests/common/ledger/test_schema.py", "worn"): STORED,
    ("tests/common/ledger_audit.py", "spots"): STORED,
    **{("CHANGELOG.md", word): "names that log events had" for word in ("desk", "chore", "shelf")},
}
"""A word that is meant literally in one file, or is public or stored -> as what."""

OLD_CLASSES = {
    *(
        "Ahead",
        "Board",
        "Card",
        "Cause",
        "Census",
        "Chore",
        "Consumption",
        "Courier",
        "Deliveries",
        "Desk",
        "Doorman",
    ),
    *("Ends", "Figures", "Findings", "Glance", "Grain", "Hand", "Head", "InHand", "Inner", "Line", "Load", "Loads"),
    *(
        "Mailroom",
        "Notice",
        "Pace",
        "Packed",
        "Packer",
        "Parcel",
        "Place",
        "Plan",
        "PolicyWords",
        "Post",
        "Reading",
    ),
    *("Refill", "Rule", "Shelf", "Side", "Spread", "Staff", "Steering", "Story", "Strangers", "Tally", "Way"),
}
"""Names that classes had when they had several meanings, or were metaphors."""

PHRASES = {
    r"\b(?!there\b)\w+\W+is no (?!longer\b|more\b|less\b|such\b|way\b)[a-z]+": "is not a …",
    r"\bof which\b": "two sentences",
    r"\bwhoever\b": "name who it is",
    r"\bsomebody\b": "name who it is, or the passive",
    r"\bnobody's business\b": "is not shown, is ignored, …",
    r"\bwords of others\b": "untrusted text",
    r"\btext of others\b": "untrusted text",
    r"\bwhose clip is next\b": "scheduling order",
}
"""English that a reader has to decode -> what to write."""

NOUNS = {
    "housekeeping": "the field's noun for periodic maintenance",
    "missing": "an adjective: keys that are missing",
    "upcoming": "an adjective: starts that are upcoming",
}
"""File names in -ing that are not gerunds."""

HISTORY = ("docs/decisions/", "docs/lab-notes.md", "tests/repository/test_vocabulary.py")
"""What quotes old words: decisions and measurements as they were written, and this file."""

PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def texts() -> Iterator[tuple[str, str]]:
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if not name.startswith(HISTORY) and b"\0" not in content:
            yield name, content.decode()


def area(name: str) -> str:
    """Return the part of the tree to which a file belongs: its folder without the package's own."""
    folders = [part for part in Path(name).parts[:-1] if not part.startswith("reelmill_")]
    return "/".join(folders[:2]) or "root"


AREAS = sorted({area(name) for name in tracked()})


def parts(identifier: str) -> list[str]:
    return [part.lower() for part in PART.findall(identifier)]


def known(word: str, table: Mapping[str, str]) -> str | None:
    return table.get(word) or table.get(word.removesuffix("s"))


def old_words(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate([name, *text.splitlines()]):
        for word in dict.fromkeys(parts(line)):
            if (new := known(word, EVERYWHERE)) and (name, word) not in ALLOWED:
                yield f"{name}:{number or 'its name'}: {word} -> {new}"


def old_identifiers(name: str, text: str) -> Iterator[str]:
    found = python_names(text) if name.endswith(".py") else lua_names(text) if name.endswith(".lua") else ()
    for number, identifier in dict.fromkeys(found):
        for word in parts(identifier):
            local = {old: new for (folder, old), new in IN_A_FOLDER.items() if name.startswith(folder)}
            if (new := known(word, IDENTIFIERS | local)) and (name, word) not in ALLOWED:
                yield f"{name}:{number}: {identifier} -> {new}"


def python_names(text: str) -> Iterator[tuple[int, str]]:
    """Find the names that a module gives, not those that it uses; the name of a test is a sentence."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) if not name.startswith("test_"):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def lua_names(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r"'[^']*'|\"[^\"]*\"", "", line).partition("--")[0]
        yield from ((number, name) for name in re.findall(r"[A-Za-z_]\w*", code))


def odd_english(name: str, text: str) -> Iterator[str]:
    flat = re.sub(r"[\s#*]|--", lambda found: " " * len(found[0]), text)
    for phrase, new in PHRASES.items():
        for found in re.finditer(phrase.replace(" ", " +"), flat, re.IGNORECASE):
            yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())} -> {new}"
    if name.endswith(".py"):
        for found in re.finditer(r'^\s*(?:"""|\w+: )Of ', text, re.MULTILINE):
            yield f"{name}:{text.count(chr(10), 0, found.end()) + 1}: begins with Of -> give it a subject"


@pytest.mark.parametrize("where", AREAS)
def test_no_old_word_is_left(where: str) -> None:
    found = [(name, text) for name, text in texts() if area(name) == where]

    hits = [
        hit for name, text in found for look in (old_words, old_identifiers, odd_english) for hit in look(name, text)
    ]

    assert found or where in ("docs/decisions", "docs/console")  # not read, and pictures only
    if hits:
        pytest.fail("\n".join([f"{len(hits)} in {where}", *hits]), pytrace=False)


def test_every_check_finds_what_it_looks_for() -> None:
    python = (
        'def tell_it(moment):\n    """Of it.\n\n    Args:\n        day: Of a day; it is\n            no window.\n"""\n'
    )
    lua = "local told = 'words' -- heed; there\n-- is no window\nlocal shelf_key\n"

    hits = [
        hit.partition(":")[2]
        for name, text in (("a.py", python), ("a.lua", lua))
        for look in (old_words, old_identifiers, odd_english)
        for hit in look(name, text)
    ]

    assert hits == [
        "1: moment -> time or timestamp",
        "1: tell_it -> print, log, report, emit, …",
        "5: it is no window -> is not a …",
        "2: begins with Of -> give it a subject",
        "5: begins with Of -> give it a subject",
        "3: shelf -> embedding cache",
        "1: told -> printed, logged, reported, …",
    ]


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for name in tracked(".py"):
        if name.startswith(PACKAGES):
            tree = ast.parse((ROOT / name).read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].add(name)

    assert len(places) > 200
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}
    assert {name: sorted(found) for name, found in places.items() if name in OLD_CLASSES} == {}


def test_a_module_is_named_by_a_noun() -> None:
    modules = [name for name in tracked(".py", ".lua") if name.startswith(PACKAGES)]

    gerunds = [
        name for name in modules if (stem := Path(name).stem.split("_")[-1]).endswith("ing") and stem not in NOUNS
    ]

    assert len(modules) > 200
    assert gerunds == []


def test_a_word_is_allowed_only_where_it_stands() -> None:
    needless = [(name, word) for name, word in ALLOWED if word not in parts((ROOT / name).read_text())]

    assert ALLOWED
    assert needless == []
