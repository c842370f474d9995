"""The Lua scripts: one file for each change of the ledger, run by hash, with the parts of `lua/lib` that it names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_LIB = re.compile(r"-- lib: (?P<parts>[a-z ]+)\n")


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the hash that it is called by."""

    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """Load a script of this package by the name of its file.

    `lua/lib/base.lua` comes first, then the parts that the script's first line names (`-- lib: move ending`). Not all
    of them always: the server's Lua collects garbage every 50 calls, and the time for that grows with what is loaded.
    """
    folder = files("reelmill_common.ledger") / "lua"
    own = (folder / f"{name}.lua").read_text("utf-8")
    named = _LIB.match(own)
    parts = ["base", *(named["parts"].split() if named else [])]
    source = "\n".join([*((folder / "lib" / f"{part}.lua").read_text("utf-8") for part in parts), own])
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
