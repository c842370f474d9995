"""`reelmill top`: the farm at work, on a terminal that draws itself again, or as one page of text or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reelmill_common.jobs import JobState
from reelmill_common.ledger import Board, WorkerState, WorkerView
from reelmill_common.ledger.board import InHand, OpenBatch
from reelmill_common.printable import printable
from reelmill_producer.cli.options import Json
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading

LINES = 40
"""Workers, and batches, that are drawn where the terminal does not say how many fit."""
_CHROME = 9
"""Lines of titles, heads and totals."""

_COLOURS = {
    WorkerState.READY: "green",
    WorkerState.STARTING: "yellow",
    WorkerState.DRAINING: "yellow",
    WorkerState.QUARANTINED: "red",
    WorkerState.DEAD: "red",
}


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
        if json:
            print_json(board_record(farm.ledger.board()))
        elif once or not sys.stdout.isatty():
            Console(width=None if sys.stdout.isatty() else 120).print(page(farm.ledger.board(), lines=LINES))
        else:
            _live(farm.ledger.board, interval)


def _live(take: Callable[[], Board], interval: float) -> None:
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(page(take(), lines=console.height), refresh=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return


def page(board: Board, *, lines: int) -> RenderableType:
    """Draw a board in so many lines."""
    room = max(2, lines - _CHROME)
    for_workers = min(len(board.workers), max(room // 2, room - len(board.batches)))
    hands = {worker: list(jobs) for worker, jobs in groupby(board.in_hand, key=lambda job: job.worker)}
    return Group(
        _totals(board),
        _workers(board.workers[:for_workers], hands, len(board.workers)),
        _batches(board.batches[: room - for_workers], len(board.batches)),
    )


def _totals(board: Board) -> Text:
    over = f" over {_span(board.sample_s)}" if board.clips_per_h else ""
    ended = ", ".join(f"{count:,} {state.value}" for state, count in board.ended.items() if count)
    words = [
        f"{board.ready}/{len(board.workers)} workers ready",
        f"{len(board.in_hand)} clips in hand",
        f"{board.waiting:,} waiting",
        f"{board.clips_per_h:,.0f} clips/h{over}",
        ended or "nothing has ended yet",
    ]
    line = Text("  ".join(words), style="bold")
    if board.failures:
        line.append(f"  {board.failures} failed of late", style="red")
    return line


def _workers(workers: Sequence[WorkerView], hands: Mapping[str, Sequence[InHand]], total: int) -> Table:
    grid = Table(title=_title("Workers", len(workers), total), title_justify="left", box=None, pad_edge=False)
    for column in ("WORKER", "STATE", "LANE", "CLIP", "STAGE", "FOR"):
        grid.add_column(column, no_wrap=True, overflow="ellipsis")
    for worker in workers:
        state = Text(worker.state.value, style=_COLOURS.get(worker.state, ""))
        jobs = hands.get(worker.name, [])
        if not jobs:
            grid.add_row(
                Text(worker.name), state, Text(worker.lane), Text(printable(worker.reason or _seen(worker))), "", ""
            )
            continue
        newest = jobs[-1]  # the others are on their way to the store
        stages = Text(", ".join(job.stage or job.state.value for job in reversed(jobs)))
        clip = Text(_clip(newest))
        grid.add_row(Text(worker.name), state, Text(worker.lane), clip, stages, _span(newest.since_s))
    return grid


def _clip(job: InHand) -> str:
    shown = f"{job.batch}/{job.row}"
    return shown if job.seed is None or shown.endswith(f"-s{job.seed}") else f"{shown} seed {job.seed}"


def _batches(batches: Sequence[OpenBatch], total: int) -> Table:
    grid = Table(title=_title("Batches", len(batches), total), title_justify="left", box=None, pad_edge=False)
    for column in ("BATCH", "OWNER", "PRIORITY", "DONE", "STATE", "CLIPS/H", "LEFT"):
        grid.add_column(column, no_wrap=True, overflow="ellipsis")
    for batch in batches:
        share = f"{batch.total - batch.remaining:,}/{batch.total:,}"
        eta = "" if batch.eta_s is None else _span(batch.eta_s)
        rate = f"{batch.clips_per_h:,.0f}" if batch.clips_per_h else ""
        grid.add_row(
            Text(batch.name), Text(printable(batch.owner)), str(batch.priority), share, _state(batch), rate, eta
        )
    return grid


def _state(batch: OpenBatch) -> str:
    if batch.paused:
        return "paused"
    if batch.shut:
        return "window closed"
    return "running" if batch.counts.get(JobState.RUNNING, 0) else "waiting"


def _seen(worker: WorkerView) -> str:
    return f"silent for {_span(worker.seen_s)}" if worker.state is WorkerState.DEAD else ""


def _title(what: str, shown: int, total: int) -> str:
    return what if shown == total else f"{what} ({shown} of {total})"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def board_record(board: Board) -> dict[str, Any]:
    """Return a board as plain data."""
    return {
        "clips_per_h": round(board.clips_per_h, 1),
        "sample_s": round(board.sample_s, 1),
        "failures": board.failures,
        "waiting": board.waiting,
        "ended": {state.value: count for state, count in board.ended.items()},
        "ended_batches": board.ended_batches,
        "workers": [
            {"worker": worker.name, "lane": worker.lane, "state": worker.state.value, "reason": worker.reason}
            for worker in board.workers
        ],
        "in_hand": [
            {
                "job_id": job.job_id,
                "batch": job.batch,
                "row": job.row,
                "seed": job.seed,
                "worker": job.worker,
                "state": job.state.value,
                "stage": job.stage,
                "attempt": job.attempt,
                "since_s": round(job.since_s, 1),
            }
            for job in board.in_hand
        ],
        "batches": [
            {
                "batch": batch.name,
                "owner": batch.owner,
                "priority": batch.priority,
                "paused": batch.paused,
                "shut": batch.shut,
                "total": batch.total,
                "remaining": batch.remaining,
                "clips_per_h": round(batch.clips_per_h, 1),
                "eta_s": None if batch.eta_s is None else round(batch.eta_s),
            }
            for batch in board.batches
        ],
    }
