"""The Lua scripts: one file for each change of the ledger, run by hash, all with `lua/lib.lua` in front."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the hash that it is called by."""

    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """Load a script of this package by the name of its file."""
    folder = files("reelmill_common.ledger") / "lua"
    lib = (folder / "lib.lua").read_text("utf-8")
    source = f"{lib}\n{(folder / f'{name}.lua').read_text('utf-8')}"
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
