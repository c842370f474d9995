"""The SDK reference, made from the public names of `reelmill`: signatures, summaries, fields and errors."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import reelmill

PATH = Path("docs/reference/sdk.md")
HEAD = """# The SDK

Made by `make references` from `import reelmill`; do not edit it. A name that is listed here is neither renamed nor
removed without a line in [CHANGELOG.md](../../CHANGELOG.md). Units are in the names: `_s` seconds, `_at` Unix seconds
on Redis' clock, `_bytes` bytes, `_j` joules; `width` and `height` are pixels. `Settings` has a field for each variable
`REELMILL_<NAME>`.
"""
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*): ", re.MULTILINE)
_MEMBER = re.compile(r"<(\w+\.\w+): [^>]*>")


def render() -> str:
    """Return the page."""
    public = {name: getattr(reelmill, name) for name in reelmill.__all__ if not name.startswith("_")}
    classes = {name: item for name, item in public.items() if inspect.isclass(item)}
    errors = {name: item for name, item in classes.items() if issubclass(item, Exception)}
    enums = {name: item for name, item in classes.items() if issubclass(item, Enum)}
    rest = {name: item for name, item in classes.items() if name not in errors and name not in enums}
    parts = [HEAD, "## Functions\n"]
    parts += [_callable(name, item, level=3) for name, item in public.items() if name not in classes]
    parts += ["## The farm\n", _class("Reelmill", rest.pop("Reelmill")), "## Records\n"]
    parts += [_class(name, item) for name, item in rest.items()]
    parts += ["## States\n", *(_enum(name, item) for name, item in enums.items())]
    parts += ["## Errors\n", _errors(errors)]
    return "\n".join(parts)


def _class(name: str, kind: type[Any]) -> str:
    found, sections = _documented(kind)
    parts = [f"### {name}\n", found]
    if name == "Settings":
        sections = {}
    elif dataclasses.is_dataclass(kind):
        parts.append(_fields(kind, sections.get("Attributes", {})))
    if "Args" in sections:
        parts.append(f"```text\n{name}{_signature(kind)}\n```\n")
    parts += [_lists({key: value for key, value in sections.items() if key != "Attributes"})]
    parts += [_callable(f"{name}.{member}", item) for member, item in _members(kind)]
    return "\n".join(filter(None, parts))


def _members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that are documented, those of base classes last."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("reelmill"):
            continue
        for name, item in vars(base).items():
            known = isinstance(item, (property, classmethod, staticmethod)) or inspect.isfunction(item)
            if known and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, item


def _callable(name: str, item: Any, *, level: int = 4) -> str:
    function: Any = item.fget if isinstance(item, property) else inspect.unwrap(getattr(item, "__func__", item))
    found, sections = _documented(function)
    signature = _signature(function)
    if isinstance(item, property):
        signature = ": " + signature.rpartition(" -> ")[2]
    code = f"```text\n{name}{signature}\n```\n"
    return "\n".join(filter(None, [f"{'#' * level} {name}\n", code, found, _lists(sections)]))


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    shown: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        shown.append(f"{parameter.name}: {_type(parameter.annotation)}{default}")
    answer = signature.return_annotation
    result = "" if answer in (signature.empty, None, "None") else f" -> {_type(answer)}"
    line = f"({', '.join(shown)}){result}"
    return line if len(line) < 90 else "(\n    " + ",\n    ".join(shown) + f",\n){result}"


def _fields(kind: type[Any], meanings: Mapping[str, str]) -> str:
    rows = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for item in dataclasses.fields(kind):
        if item.name.startswith("_"):
            continue
        default = ""
        if item.default is not dataclasses.MISSING:
            default = f"`{_value(item.default)}`"
        elif item.default_factory is not dataclasses.MISSING:
            default = f"`{_value(item.default_factory())}`"
        meaning = meanings.get(item.name, "").replace("|", r"\|")
        annotation = _type(item.type).replace("|", r"\|")
        rows.append(f"| `{item.name}` | `{annotation}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _enum(name: str, kind: type[Enum]) -> str:
    members = ", ".join(f"`{member.value}`" for member in kind)
    return "\n".join(
        [
            f"### {name}\n",
            _documented(kind)[0],
            f"Values: {members}.\n",
            *(_callable(f"{name}.{member}", item) for member, item in _members(kind)),
        ]
    )


def _errors(errors: Mapping[str, type[Any]]) -> str:
    rows = ["| error | code | exit status | bases | when |", "| --- | --- | --- | --- | --- |"]
    for name, kind in sorted(errors.items()):
        meaning = " ".join(_documented(kind)[0].split()).replace("|", r"\|")
        bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
        rows.append(f"| `{name}` | `{kind.code}` | {kind.exit_status} | {bases} | {meaning} |")
    return "\n".join(rows) + "\n"


def _documented(item: Any) -> tuple[str, dict[str, dict[str, str]]]:
    """Return a docstring's text without its sections, and the entries of each section by name."""
    text, *sections = _SECTION.split(inspect.cleandoc(item.__doc__ or ""))
    found = {name: _entries(body) for name, body in zip(sections[::2], sections[1::2], strict=True)}
    blocks = [_block(block) for block in text.strip().split("\n\n")]
    return "\n\n".join(blocks) + "\n" if text.strip() else "", found


def _block(block: str) -> str:
    return f"```python\n{textwrap.dedent(block)}\n```" if block.startswith("    ") else " ".join(block.split())


def _entries(body: str) -> dict[str, str]:
    _, *found = _ENTRY.split(body)
    pairs = zip(found[::2], found[1::2], strict=True)
    return {name: " ".join(text.split()) for names, text in pairs for name in names.split(", ")}


def _lists(sections: Mapping[str, Mapping[str, str]]) -> str:
    lines: list[str] = []
    for section, entries in sections.items():
        lines += [f"{section}:\n", *(f"- `{name}`: {text}" for name, text in entries.items()), ""]
    return "\n".join(lines)


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return str(text).replace('"', "")


def _value(value: object) -> str:
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    return json.dumps(value) if isinstance(value, str) else _MEMBER.sub(r"\1", repr(value))
