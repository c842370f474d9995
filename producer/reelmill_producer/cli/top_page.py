"""The page of `reelmill top`: a snapshot of the farm, drawn to fit the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from reelmill_common.jobs import JobState
from reelmill_common.ledger import FarmSnapshot, WorkerState, WorkerView
from reelmill_common.ledger.snapshot import OpenBatch, RunningJob
from reelmill_common.text.terminal_text import printable
from reelmill_producer.cli.columns import GAP, Cell, Row, cut, lay_out

LeftS = Callable[[str], float | None]
"""Returns the seconds until a batch is done, or None if that is not known."""

_WORKER_HEAD = ("WORKER", "STATE", "LANE", "CLIP", "STAGE", "FOR")
_BATCH_HEAD = ("BATCH", "OWNER", "PRIORITY", "CLIPS", "FAILED", "STATE", "CLIPS/H", "LEFT")
_COLOURS = {
    WorkerState.READY: "green",
    WorkerState.STARTING: "yellow",
    WorkerState.DRAINING: "yellow",
    WorkerState.QUARANTINED: "red",
    WorkerState.DEAD: "red",
}
_FIRST = (WorkerState.QUARANTINED, WorkerState.DEAD)
_LAST = (WorkerState.READY, WorkerState.PAUSED, WorkerState.RESTING, WorkerState.GONE)
_BATCH_ORDER = ("running", "waiting", "window closed", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A snapshot in a limited number of lines. What matters most comes first, and what does not fit is counted.

    Attributes:
        board: The snapshot.
        lines: Height of the terminal.
        left_s: Forecast of when batches are done.
    """

    board: FarmSnapshot
    lines: int
    left_s: LeftS

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the page in the width of the terminal."""
        del console
        lines = self._drawn(options.max_width)[: self.lines]
        yield Text("\n").join(lines)

    def _drawn(self, width: int) -> list[Text]:
        totals = _totals(self.board, width)
        workers, batches = _by_importance(self.board), sorted(self.board.batches, key=_batch_rank)
        room = max(0, self.lines - len(totals) - 4)  # two titles, two heads
        for_workers = min(len(workers), max(room // 2, room - len(batches)))
        for_batches = min(len(batches), room - for_workers)
        running = _running(self.board)
        return [
            *totals,
            *_section(
                ("Workers", _WORKER_HEAD),
                [_worker_row(worker, running.get(worker.name, [])) for worker in workers],
                [worker.state.value for worker in workers],
                (width, for_workers),
            ),
            *_section(
                ("Batches", _BATCH_HEAD),
                [_batch_row(batch, self.left_s) for batch in batches[: max(0, for_batches)]],
                [_state(batch) for batch in batches],
                (width, for_batches),
            ),
        ]


def _unknown(batch: str) -> float | None:
    del batch
    return None


def page(board: FarmSnapshot, *, lines: int, left_s: LeftS = _unknown) -> Page:
    """Return a snapshot's page."""
    return Page(board=board, lines=lines, left_s=left_s)


def _section(
    titles: tuple[str, Sequence[str]], rows: Sequence[Row], states: Sequence[str], size: tuple[int, int]
) -> Iterator[Text]:
    """Yield title, head and rows within a width and a height; if not all fit, the last line counts the rest."""
    (title, head), (width, room) = titles, size
    total = len(states)
    shown = total if total <= room else max(0, room - 1)
    yield Text(cut(title if shown == total else f"{title} ({shown} of {total})", width).rstrip(), style="italic")
    for line in lay_out(head, rows[:shown], width):
        yield Text(GAP).join(Text(cell.text, style=cell.style) for cell in line)
    if shown < total and room > 0:
        counts = ", ".join(f"{count} {state}" for state, count in Counter(states[shown:]).items())
        yield Text(cut(f"… {total - shown} more: {counts}", width).rstrip(), style="dim")


def _totals(board: FarmSnapshot, width: int) -> list[Text]:
    over = f" over {_span(board.sample_s)}" if board.clips_per_h else ""
    ended = [f"{count:,} {state.value}" for state, count in board.ended.items() if count]
    counts = [
        f"{board.ready}/{len(board.workers)} workers ready",
        f"{len(board.in_hand)} clips in hand",
        f"{board.waiting:,} waiting",
        f"{board.clips_per_h:,.0f} clips/h{over}",
        *(ended or ["nothing has ended yet"]),
    ]
    if board.failures:
        counts.append(f"{board.failures} failed of late")
    return [Text(cut(line, width).rstrip(), style="bold") for line in _wrapped(counts, width)]


def _wrapped(parts: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for part in parts:
        longer = f"{line}{GAP}{part}" if line else part
        if line and len(longer) > width:
            yield line
            longer = part
        line = longer
    if line:
        yield line


def _running(board: FarmSnapshot) -> Mapping[str, Sequence[RunningJob]]:
    return {worker: list(jobs) for worker, jobs in groupby(board.in_hand, key=lambda job: job.worker)}


def _by_importance(board: FarmSnapshot) -> list[WorkerView]:
    """Return workers: first those that need attention, then those at work, then the others."""

    def rank(worker: WorkerView) -> int:
        if worker.state in _FIRST:
            return _FIRST.index(worker.state)
        if worker.jobs or worker.state not in _LAST:
            return len(_FIRST)
        return len(_FIRST) + 1 + _LAST.index(worker.state)

    return sorted(board.workers, key=rank)  # within a rank by name, as they are


def _worker_row(worker: WorkerView, jobs: Sequence[RunningJob]) -> Row:
    state = Cell(worker.state.value, _COLOURS.get(worker.state, ""))
    first = (Cell(printable(worker.name)), state, Cell(printable(worker.lane)))
    if not jobs:
        return (*first, Cell(printable(worker.reason or _seen(worker)), wide=True))
    newest = jobs[-1]  # the others are on their way to the store
    stages = Cell(printable(", ".join(job.stage or job.state.value for job in reversed(jobs))))
    clip = Cell(printable(_clip(newest)))
    return (*first, clip, stages, Cell(_span(newest.since_s)))


def _clip(job: RunningJob) -> str:
    shown = f"{job.batch}/{job.row}"
    return shown if job.seed is None or shown.endswith(f"-s{job.seed}") else f"{shown} seed {job.seed}"


def _batch_row(batch: OpenBatch, left_s: LeftS) -> Row:
    left, failed = left_s(batch.name), batch.counts.get(JobState.FAILED, 0)
    return (
        Cell(printable(batch.name)),
        Cell(printable(batch.owner)),
        Cell(str(batch.priority)),
        Cell(f"{batch.counts.get(JobState.SUCCEEDED, 0):,}/{batch.total:,}"),
        Cell(f"{failed:,}" if failed else "", "red"),
        Cell(_state(batch)),
        Cell(f"{batch.clips_per_h:,.0f}" if batch.clips_per_h else ""),
        Cell("" if left is None else _span(left)),
    )


def _batch_rank(batch: OpenBatch) -> int:
    return _BATCH_ORDER.index(_state(batch))  # within a rank the most urgent first, as they are


def _state(batch: OpenBatch) -> str:
    if batch.paused or batch.shut:
        return "paused" if batch.paused else "window closed"
    return "running" if batch.counts.get(JobState.RUNNING, 0) else "waiting"


def _seen(worker: WorkerView) -> str:
    return f"silent for {_span(worker.seen_s)}" if worker.state is WorkerState.DEAD else ""


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 86_400:
        return str(timedelta(seconds=round(seconds)))
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"
