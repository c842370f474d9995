"""What commands print: records as JSON with stable keys, or as plain values and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import typer
from rich.cells import cell_len

from reelmill_common.calendar.windows import zone_of
from reelmill_common.jobs import BatchState
from reelmill_common.ledger import BatchView
from reelmill_common.text.terminal_text import printable, printable_json
from reelmill_producer.analysis.wait_texts import wait_text
from reelmill_producer.cli.columns import cut
from reelmill_producer.clips import Clip
from reelmill_producer.outputs.records import outcome


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object on one line."""
    typer.echo(printable_json(json.dumps(value, ensure_ascii=not _takes_any_text(sys.stdout))))


def _takes_any_text(stream: TextIO) -> bool:
    """Whether a stream takes the letters of every language; a pipe on Windows does not (cp1252)."""
    return (stream.encoding or "").lower().replace("-", "") in {"utf8", "utf16", "utf32"}


def print_target(targets: Sequence[str], target: str, text: str) -> None:
    """Print what is so of one target of a command: the text alone, or after its name if there are several."""
    typer.echo(text if len(targets) == 1 else f"{target} {text}")


def batch_line(view: BatchView) -> str:
    """Return a batch in one line for people."""
    counts = ", ".join(f"{count:,} {state.value}" for state, count in view.counts.items() if count)
    return f"batch {view.name}: {outcome(view) or view.state.value} ({counts or 'empty'}){printable(_why(view))}"


def _why(view: BatchView) -> str:
    """Return what keeps a batch from running, as the end of a line; empty if nothing does."""
    reasons = [wait_text(wait, view.window) for wait in view.waits_for]
    if view.state is BatchState.PAUSED and view.why_paused:
        reasons.insert(0, f"paused itself: {view.why_paused}")
    return "".join(f"; {reason}" for reason in reasons)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, two spaces apart; nothing in a cell begins a line or steers the terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    lines = ("  ".join(cut(cell, width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])
    return "\n".join(line.rstrip() for line in lines)


def time_text(seconds: float | None, zone: str = "") -> str:
    """Return Unix seconds for people, in a time zone or else in this machine's; None is never."""
    if seconds is None:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone(zone_of(zone) if zone else None):%Y-%m-%d %H:%M:%S %Z}"


def link(clip: Clip) -> str:
    """Return the path of a clip in a local folder, or its link."""
    parts = urlsplit(clip.url)
    return unquote(parts.path) if parts.scheme == "file" else clip.url
