"""The Lua scripts: one file for each change of the ledger, run by hash, with what it uses of `lua/lib`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_LIB = re.compile(r"-- lib: (?P<parts>[a-z ]+)\n")
_COMMENT = re.compile(r"--[^\n]*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_DEFINITION = re.compile(r"(?:local )?(?:function )?(?P<names>[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*)")
_BLOCK = re.compile(r"^(?=local |function )", re.MULTILINE)

_WHEN_FULL = frozenset(
    {"beat", "confirm_cancel", "drain", "fail", "finish", "quarantine", "reap", "release", "renew", "retire", "vanish"}
)
"""Run on a server beyond its `maxmemory`: they bring work that is in hand to its end, of which there is little."""
_NOT_WHEN_FULL = frozenset({"claim"})
"""Refused there before their first command. The others are refused if that takes memory (Redis' rule for scripts)."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the hash that it is called by."""

    name: str
    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class _Block:
    """A definition at the top level of a part: what it defines, and which names it uses."""

    source: str
    defines: frozenset[str]
    uses: frozenset[str]


@cache
def script(name: str) -> Script:
    """Load a script of this package by the name of its file.

    Before it come the definitions that it uses, in their order: those of `lua/lib/base.lua`, then of the parts that its
    first line names (`-- lib: move ending`). Not all of them: each makes a closure in each call, the server's Lua
    collects garbage every 50 calls, and the time for that is what a slow call is slow by.
    """
    folder = files("reelmill_common.ledger") / "lua"
    own = (folder / f"{name}.lua").read_text("utf-8")
    named = _LIB.match(own)
    parts = ["base", *(named["parts"].split() if named else [])]
    blocks = [block for part in parts for block in _blocks((folder / "lib" / f"{part}.lua").read_text("utf-8"))]
    source = _flags(name) + "\n".join([*_used(blocks, own), own])
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _blocks(part: str) -> list[_Block]:
    """Cut a part before each line that begins with a definition. Only comments may stand before the first."""
    found: list[_Block] = []
    for source in _BLOCK.split(_COMMENT.sub("", part))[1:]:
        head = _DEFINITION.match(source)
        defines = head["names"].split(", ") if head else []
        found.append(_Block(source.rstrip(), frozenset(defines), frozenset(_NAME.findall(source))))
    return found


def _used(blocks: list[_Block], own: str) -> list[str]:
    """Return the definitions that a script needs, by whatever way."""
    wanted, size = set(_NAME.findall(_COMMENT.sub("", own))), -1
    while size != len(wanted):
        size = len(wanted)
        for block in blocks:
            if block.defines & wanted:
                wanted |= block.uses
    return [block.source for block in blocks if block.defines & wanted]


def _flags(name: str) -> str:
    if name in _WHEN_FULL:
        return "#!lua flags=allow-oom\n"
    return "#!lua\n" if name in _NOT_WHEN_FULL else ""
