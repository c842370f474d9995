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

PARTS = ("base", "move", "worker", "ending", "account", "made", "notify", "pace", "policy", "runs", "windows")
"""Files of `lua/lib`, each after those that it uses."""
_FLAGS = re.compile(r"-- flags: (?P<flags>[a-z -]+)\n")


@dataclass(frozen=True, slots=True)
class Library:
    """The library as the server gets it. Its name and those of its functions end in a hash of its text.

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
    names = sorted(path.name.removesuffix(".lua") for path in folder.iterdir() if path.name.endswith(".lua"))
    functions = {name: (folder / f"{name}.lua").read_text("utf-8") for name in names}
    text = "\n".join([*parts, *functions.values()])
    name = f"reelmill_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    registered = [_registered(f"{name}_{own}", source) for own, source in functions.items()]
    return Library(name, "".join([f"#!lua name={name}\n", *parts, *registered]))


def _registered(name: str, source: str) -> str:
    flags = _FLAGS.match(source)
    listed = ", ".join(f"'{flag}'" for flag in flags["flags"].split()) if flags else ""
    return (
        f"\nredis.register_function{{function_name = '{name}', flags = {{{listed}}}, callback = function(KEYS, ARGV)\n"
        f"begin(KEYS[1])\n{source}end}}\n"
    )
