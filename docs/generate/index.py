"""The list of the reference pages, made from the generators beside this file."""

from __future__ import annotations

import runpy
from pathlib import Path

PATH = Path("docs/reference/README.md")

_HEAD = """# Reference

Facts to look up. Each page is made from the code by `make references`, and a test compares them.

"""
_HERE = Path(__file__)


def render() -> str:
    """Return the page."""
    modules = [runpy.run_path(str(path)) for path in sorted(_HERE.parent.glob("[!_]*.py")) if path.name != _HERE.name]
    pages = sorted((Path(module["PATH"]), module["render"]()) for module in modules)
    return _HEAD + "".join(_line(path, text) for path, text in pages)


def _line(path: Path, text: str) -> str:
    title = text.partition("\n")[0].removeprefix("# ") if path.suffix == ".md" else path.name
    link = path.name if path.parent == PATH.parent else f"../{path.relative_to('docs')}"
    return f"- [{title}]({link})\n"
