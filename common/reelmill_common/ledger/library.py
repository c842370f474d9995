"""The function library that changes the ledger: one file of Lua for each change, and `lua/lib`, which they share.

The server compiles it once and keeps it, in its append-only file too. A script sent by EVAL makes its functions anew at
each call, and what the server then spends on garbage is what slow calls are slow by (docs/decisions/0009).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PARTS = (
    "base",
    "rates",
    "move",
    "missing",
    "crews",
    "turns",
    "worker",
    "attempt_end",
    "account",
    "made",
    "forget",
    "notify",
    "pace",
    "policy",
    "runs",
    "windows",
    "clock",
)
"""Files of `lua/lib`, each after those that it uses."""
_NAME = "@library@"
"""Where the library's name stands before it is known."""
_FLAGS = re.compile(r"-- flags: (?P<flags>[a-z -]+)\n")


@dataclass(frozen=True, slots=True)
class Library:
    """The library as the server gets it. Its name ends in a hash of its text, and its functions' names begin with it.

    So clients of two versions, each with its own library, can work on one server.
    """

    name: str
    source: str

    def function(self, name: str) -> str:
        """Return the server's name for the function of a file of `lua`."""
        return f"{self.name}_{name}"


@cache
def library() -> Library:
    """Make the library of this package's files.

    The first line of a function may say what the server should know of it (`-- flags: …`). `no-writes`: it only reads;
    `allow-oom`: it runs on a server beyond its `maxmemory`, because it brings work in hand to its end or makes room.
    The others are refused there before their first command.
    """
    folder = files("reelmill_common.ledger") / "lua"
    parts = [(folder / "lib" / f"{part}.lua").read_text("utf-8") for part in PARTS]
    found = sorted((path.name, path.read_text("utf-8")) for path in folder.iterdir() if path.name.endswith(".lua"))
    functions = [_registered(file.removesuffix(".lua"), text) for file, text in found]
    source = "".join([f"#!lua name={_NAME}\n", *parts, *functions])
    name = f"reelmill_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    return Library(name, source.replace(_NAME, name))


def _registered(name: str, source: str) -> str:
    flags = _FLAGS.match(source)
    listed = ", ".join(f"'{flag}'" for flag in flags["flags"].split()) if flags else ""
    return (
        f"\nredis.register_function{{function_name = '{_NAME}_{name}', flags = {{{listed}}},\n"
        f"callback = function(KEYS, ARGV)\nbegin(KEYS[1])\n{source}end}}\n"
    )
