"""The schema: the functions in Lua write exactly the fields that it documents."""

from __future__ import annotations

import re
from collections.abc import Iterator

from common.ledger.test_event_names import LUA, arguments
from reelmill_common.ledger.schema import KEYS

HASHES = {name.partition(":")[0]: key.fields for name, key in KEYS.items() if key.fields}
OF_CONSTANT = {"HOOK_SENDER": "hook_sender", "MISSING": "missing", "PRIOR_ATTEMPTS": "worn"}
BY_VARIABLE = {"batch": set("hdrxsfc"), "faults": {"on", "killed"}}
"""Counters that `move` and `recount` write by the letter of a state, and the lists of `write_workers`."""


def kind_of(expression: str, before: str) -> list[str]:
    """Return the hashes that an expression may name; a variable is what was last assigned to it."""
    if found := re.match(r"(\w+)_key\(|P \.\. '(\w+)", expression):
        return [found[1] or found[2]]
    if expression in OF_CONSTANT:
        return [OF_CONSTANT[expression]]
    if expression == "made":
        return ["made"]
    names, values = "", ""
    for found in re.finditer(rf"local ([\w, ]*\b{expression}\b[\w, ]*) = (.*)", before):
        names, values = found[1], found[2]
    place = names.split(", ").index(expression) if names else -1
    if place < 0:
        assert expression == "key", f"what is {expression}?"  # a parameter: of `note_pace`
        return ["lane", "worker"]
    return kind_of(arguments(f", {values}")[place], before)


def pairs(kind: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the literal names among some fields; one that begins with a literal ends in `*`."""
    for name in names:
        if found := re.match(r"'([^']*)'(\s*\.\.)?", name):
            yield kind, found[1] + ("*" if found[2] else "")


def written() -> Iterator[tuple[str, str]]:
    """Yield every hash and literal field that Lua writes."""
    for path in sorted(LUA.rglob("*.lua")):
        text = re.sub(r"--.*", "", path.read_text("utf-8"))
        for found in re.finditer(r"redis\.call\('(HSET|HSETNX|HINCRBY)'", text):
            key, *rest = arguments(text[found.end() :])
            for kind in kind_of(key, text[: found.start()]):
                yield from pairs(kind, rest[::2] if found[1] == "HSET" else rest[:1])
        for found in re.finditer(r"set_worker\(\w+, [^,]+, [^,)]+", text):  # it sets what it is given beside
            yield from pairs("worker", arguments(text[found.end() :])[::2])
        for found in re.finditer(r"\bmove\(\w+, '\w', (\{)|\{'HSET', job_key\(job\.id\)", text):
            fields = ", " * bool(found[1]) + text[found.end() :]
            yield from pairs("job", arguments(fields)[::2])
        yield from pairs("job", re.findall(r"push\(hash, ('\w+')", text))


def test_lua_writes_no_field_that_is_not_documented() -> None:
    undocumented = {(kind, field) for kind, field in written() if field not in HASHES[kind] and "*" not in HASHES[kind]}

    assert undocumented == set()


def test_every_documented_field_is_written_by_lua() -> None:
    found = set(written())

    assert len(found) > 80
    assert {
        (kind, field)
        for kind, fields in HASHES.items()
        for field in fields
        if field != "*" and (kind, field) not in found and field not in BY_VARIABLE.get(kind, set())
    } == set()


def test_every_key_that_lua_names_is_documented() -> None:
    documented = {name.partition(":")[0] for names in KEYS for name in names.split(", ")}
    text = "".join(path.read_text("utf-8") for path in sorted(LUA.rglob("*.lua")))
    named = set(re.findall(r"\bP \.\. '(\w+)", text))

    assert len(named) > 40
    assert named - documented == set()
