"""The style of Flower's table of tasks: the prompt is wide, the id short, a phone shows the columns that matter.

Flower's page sizes columns by their content and scrolls sideways. Its stylesheet is served with our rules appended.
They are made for the columns that are shown, since a cell of the table does not name its column.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar

import flower
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import RequestHandler

SHEET = "/static/css/flower.css"
WIDTHS_PX = {
    "received": 128,
    "started": 128,
    "batch": 100,
    "seed": 70,
    "state": 100,
    "stage": 96,
    "worker": 110,
    "worker_class": 110,
    "runtime": 104,
    "uuid": 92,
}
"""Widths of columns; the prompt and columns that are not named here share the rest."""
ON_A_PHONE = {"prompt": 0, "batch": 78, "state": 78, "uuid": 62}
"""The columns that a phone shows, with their widths in pixels; 0: the rest."""
PHONE_PX = 700
NARROW_PX = 1500
"""Width of the page below which the worker's class is left out."""
_ALL = """
#tasks-table_wrapper table { table-layout: fixed; width: 100% !important; margin: 0 !important }
#tasks-table_wrapper .dataTables_scrollHeadInner { width: 100% !important; padding: 0 !important }
#tasks-table_wrapper .dataTables_scrollHead th { padding-right: 18px; overflow-wrap: normal }
#tasks-table_wrapper th, #tasks-table_wrapper td { overflow-wrap: anywhere; white-space: normal !important;
  box-sizing: border-box !important; padding-left: 6px; padding-right: 6px }
"""


def serve_style(router: RuleRouter, columns: Sequence[str], prefix: str) -> None:
    """Serve Flower's stylesheet with our rules appended; call it before `require_login`, whose rule comes first."""
    css = (Path(flower.__file__).parent / SHEET.strip("/")).read_text(encoding="utf-8") + style(columns)
    handler = type("FlowerStyle", (_Style,), {"CSS": css})
    router.rules.insert(0, Rule(PathMatches(f"{prefix}{SHEET}$"), handler))


def style(columns: Sequence[str]) -> str:
    """Return our rules for a table of these columns, from left to right."""
    wide = "".join(
        _rule(at, f"width: {_px(WIDTHS_PX.get(name, 0))} !important") for at, name in _numbered(columns, columns)
    )
    ids = "".join(
        _rule(at, "white-space: nowrap !important; overflow: hidden; text-overflow: ellipsis")
        for at, name in _numbered(columns, columns)
        if name == "uuid"
    )
    narrow = "".join(_rule(at, "display: none") for at, _ in _numbered(columns, ["worker_class"]))
    hidden = [name for name in columns if name not in ON_A_PHONE]
    phone = "".join(_rule(at, "display: none") for at, _ in _numbered(columns, hidden)) + "".join(
        _rule(at, f"width: {_px(ON_A_PHONE[name])} !important; font-size: 12px")
        for at, name in _numbered(columns, ON_A_PHONE)
    )
    small = phone if set(columns) & set(ON_A_PHONE) else ""
    return (
        f"{_ALL}{wide}{ids}@media (max-width: {NARROW_PX}px) {{\n{narrow}}}\n"
        f"@media (max-width: {PHONE_PX}px) {{\n{small}}}\n"
    )


def _numbered(columns: Sequence[str], wanted: Collection[str]) -> list[tuple[int, str]]:
    return [(at, name) for at, name in enumerate(columns, start=1) if name in wanted]


def _px(width: int) -> str:
    return f"{width}px" if width else "auto"  # explicit: the page writes widths of its own when it is resized


def _rule(at: int, text: str) -> str:
    cells = (f"#tasks-table_wrapper {cell}:nth-child({at})" for cell in ("th", "td"))
    return f"{', '.join(cells)} {{ {text} }}\n"


class _Style(RequestHandler):
    CSS: ClassVar[str] = ""

    def get(self) -> None:
        """Answer with the rules. They are not cached, since Flower's version does not change with ours."""
        self.set_header("Content-Type", "text/css; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(self.CSS)
