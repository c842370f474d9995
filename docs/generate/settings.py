"""The reference of settings, made from the fields of `Settings` and the strings below them."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from reelmill_common import settings
from reelmill_common.config.setting_names import PREFIX
from reelmill_common.config.setting_values import Choice, Number
from reelmill_common.settings import Settings

PATH = Path("docs/reference/settings.md")

_UNITS = {"_s": "seconds", "_mb": "MB", "_days": "days", "_price": "`currency`"}
_MIB = "s3_parts_above_mb"
_HEAD = """# Settings

Every process reads its settings once, at its start, from environment variables. An unset or empty variable means the
default. An unknown `REELMILL_*` name or a wrong value ends the command with status 78 and one message that lists all of
them; the value of a setting marked *secret* is never shown.

This page is made from `common/reelmill_common/settings.py`.

| variable | value | default | unit | read by | meaning |
| --- | --- | --- | --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    meanings, parsers = _meanings(), Settings.parsers()
    rows = [_row(item, parsers[item.name], meanings[item.name]) for item in fields(Settings)]
    return _HEAD + "".join(rows)


def _row(item: Field[Any], parser: object, meaning: str) -> str:
    value = str(parser) if isinstance(parser, Choice | Number) else "folder" if item.type == "Path" else "text"
    default = f"`{item.default}`" if item.default not in ("", MISSING) else ""
    unit = "MiB" if item.name == _MIB else next((_UNITS[end] for end in _UNITS if item.name.endswith(end)), "")
    secret = ", secret" if item.metadata["secret"] else ""
    cells = [f"`{PREFIX}{item.name.upper()}`", value + secret, default, unit, item.metadata["reader"], meaning]
    return f"| {' | '.join(cells)} |\n"


def _meanings() -> dict[str, str]:
    """Return the string below each field, by the field's name."""
    tree = ast.parse(inspect.getsource(settings))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == Settings.__name__)
    found: dict[str, str] = {}
    for declared, below in pairwise(body):
        match declared, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
            case _:
                continue
    return found
