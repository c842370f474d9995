"""Event names: the functions in Lua, and the readers of events in Python, use exactly those that are documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from reelmill_common.ledger.event_names import EventName

ROOT = Path(__file__).parents[3]
LUA = ROOT / "common/reelmill_common/ledger/lua"
NAME = r"(?:job|batch|worker|schedule|owner|token|webhook|ledger)\.[a-z_]+"
NO_EVENTS = {"worker.log", "webhook.test"}
"""A file, and a message that only `webhook test` sends."""


def arguments(text: str) -> list[str]:
    """Split the rest of a call in Lua, from behind an argument to its closing parenthesis."""
    found, depth = [""], 0
    for char in text:
        depth += (char in "({") - (char in ")}")
        if depth < 0:
            break
        if char == "," and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return [part.strip() for part in found[1:]]


def emitted() -> Iterator[tuple[str, list[str]]]:
    """Yield every event that Lua writes, with the names of its fields."""
    for path in sorted(LUA.rglob("*.lua")):
        text = re.sub(r"--.*", "", path.read_text("utf-8"))
        for match in re.finditer(rf"(?P<emit>emit\()?'(?P<name>{NAME})'", text):
            rest = arguments(text[match.end() :])
            rest = rest[3:] if match["emit"] else rest  # batch, job and worker; `move` adds them itself
            yield match["name"], [part.strip("'") for part in rest[::2]]


def test_lua_writes_every_event_that_is_documented_and_no_other() -> None:
    assert {name for name, _ in emitted()} == set(EventName)


def test_lua_gives_events_no_field_that_is_not_documented_and_each_that_is() -> None:
    fields: dict[str, set[str]] = {name: set() for name in EventName}
    for name, names in emitted():
        fields[name] |= set(names)

    assert {name: sorted(found) for name, found in fields.items()} == {name: sorted(name.fields) for name in EventName}


def test_python_reads_no_event_that_nothing_writes() -> None:
    read = set[str]()
    for root in ("common", "producer", "worker"):
        for path in (ROOT / root).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            logged = {id(call.args[0]) for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_log(call)}
            read |= {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(NAME, node.value)
                and id(node) not in logged
            }

    assert len(read) > 10
    assert read - NO_EVENTS - set(EventName) == set()


def _is_log(call: ast.Call) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and func.attr in {"debug", "info", "warning", "error"} and bool(call.args)
