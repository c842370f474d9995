"""The command `top`: the farm at work, drawn again and again on a terminal, or as one page of text or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from reelmill_common.errors import LedgerReadOnly, LedgerUnavailable
from reelmill_common.forecast import Outlook
from reelmill_common.ledger import FarmSnapshot
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.cli.top_page import LeftS, page
from reelmill_producer.outputs.records import record_of

LINES = 40
WIDTH = 120
"""Lines and columns of a page where no terminal tells its size."""


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one page and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two pages.")] = 1.0,
    json: Json = False,
) -> None:
    """Show what the farm does now: workers, stages, batches, rates; Ctrl-C ends it.

    Without a terminal, or with --once or --json, one page is printed.
    """
    with reading() as farm:
        outlook = Outlook(ledger=farm.ledger, depth=farm.settings.dispatch_depth)
        if json:
            print_json(board_record(farm.ledger.overview.snapshot(), outlook.left_s))
        elif once or not sys.stdout.isatty():
            _print(page(farm.ledger.overview.snapshot(), lines=LINES, left_s=outlook.left_s))
        else:
            _live(farm.ledger.overview.snapshot, outlook.left_s, interval)


def _print(drawn: RenderableType) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    with console.capture() as captured:  # rich's own print ends with status 1 where stdout has no reader
        console.print(drawn)
    typer.echo(captured.get(), nl=False)


def _live(take: Callable[[], FarmSnapshot], left_s: LeftS, interval: float) -> None:
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(_page_or_outage(take, left_s, console.height), refresh=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return


def _page_or_outage(take: Callable[[], FarmSnapshot], left_s: LeftS, lines: int) -> RenderableType:
    try:
        return page(take(), lines=lines, left_s=left_s)
    except (LedgerUnavailable, LedgerReadOnly) as err:
        return Text(f"{printable(str(err))}; waiting for it", style="red")


def board_record(board: FarmSnapshot, left_s: LeftS) -> dict[str, Any]:
    """Return a snapshot as plain data."""
    return {
        "clips_per_h": round(board.clips_per_h, 1),
        "sample_s": round(board.sample_s, 1),
        **record_of(board, "failures waiting"),
        "ended": {state.value: count for state, count in board.ended.items()},
        "ended_batches": board.ended_batches,
        "workers": [record_of(worker, "worker=name lane state reason") for worker in board.workers],
        "in_hand": [
            {
                **record_of(job, "job_id batch row seed worker state stage attempt"),
                "since_s": round(job.since_s, 1),
            }
            for job in board.in_hand
        ],
        "batches": [
            {
                **record_of(batch, "batch=name owner priority paused shut total remaining"),
                "clips_per_h": round(batch.clips_per_h, 1),
                "eta_s": None if (left := left_s(batch.name)) is None else round(left),
            }
            for batch in board.batches
        ],
    }
