"""What commands print: records as JSON with stable keys, or as plain values and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import typer
from rich.cells import cell_len

from reelmill_common.findings import Finding
from reelmill_common.jobs import BatchState, JobState
from reelmill_common.ledger import Account, BatchView, Event, JobView, WorkerView
from reelmill_common.ledger.records import outcome_of
from reelmill_common.prices import Prices
from reelmill_common.text.terminal_text import printable, printable_json
from reelmill_producer.analysis.wait_texts import wait_text
from reelmill_producer.analysis.why import Reason
from reelmill_producer.cli.columns import cut
from reelmill_producer.clips import Clip


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object on one line."""
    typer.echo(printable_json(json.dumps(value, ensure_ascii=not _takes_any_text(sys.stdout))))


def _takes_any_text(stream: TextIO) -> bool:
    """Whether a stream can be written what any language has; a pipe on Windows cannot (cp1252)."""
    return (stream.encoding or "").lower().replace("-", "") in {"utf8", "utf16", "utf32"}


def outcome(view: BatchView) -> str:
    """Return what became of a batch, in a word; empty while that is open."""
    return outcome_of(view.counts)


def batch_record(view: BatchView) -> dict[str, Any]:
    """Return a batch as plain data."""
    return {
        "batch": view.name,
        "state": view.state.value,
        "outcome": outcome(view),
        "priority": view.priority,
        "weight": view.weight,
        "max_in_flight": view.max_in_flight,
        "owner": view.owner,
        "window": view.window,
        "max_failures": view.max_failures,
        "start_after": view.start_after or None,
        "expires_at": view.expires_at or None,
        "after": list(view.after),
        "after_any": list(view.after_any),
        "worker_class": view.worker_class,
        "why_paused": view.why_paused,
        "waits_for": [asdict(wait) for wait in view.waits_for],
        "total": view.total,
        "remaining": view.remaining,
        "counts": {state.value: view.counts.get(state, 0) for state in JobState},
        "created_at": view.created_at,
        "finished_at": view.finished_at,
    }


def account_record(account: Account, prices: Prices) -> dict[str, Any]:
    """Return an account as plain data. `cost` is that of the waste too; what is not known is null, never 0."""
    energies = [joules for joules in (account.energy_j, account.wasted_energy_j) if joules is not None]
    cost = prices.cost(account.gpu_s + account.wasted_gpu_s, sum(energies) if energies else None)
    wasted = prices.cost(account.wasted_gpu_s, account.wasted_energy_j)
    return {
        **asdict(account),
        "cost": None if cost is None else round(cost, 4),
        "wasted_cost": None if wasted is None else round(wasted, 4),
        "currency": prices.currency,
    }


def job_record(view: JobView, clip: Clip | None = None) -> dict[str, Any]:
    """Return a job as plain data; with its clip if it has one."""
    return {
        "job_id": view.job_id,
        "batch": view.batch,
        "row": view.row,
        "state": view.state.value,
        "stage": view.stage,
        "attempts": view.attempts,
        "priority": view.priority,
        "worker": view.worker,
        "error": None if view.error is None else dict(view.error),
        "spec": asdict(view.spec),
        "metadata": dict(view.metadata),
        "clip": None if clip is None else _file_record(clip),
        "submitted_at": view.submitted_at,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
    }


def clip_record(clip: Clip) -> dict[str, Any]:
    """Return a clip as plain data."""
    return {
        "job_id": clip.job_id,
        "batch": clip.batch,
        "row": clip.row,
        "spec": asdict(clip.spec),
        "metadata": dict(clip.metadata),
        **_file_record(clip),
    }


def worker_record(view: WorkerView) -> dict[str, Any]:
    """Return a worker as plain data."""
    return {
        "worker": view.name,
        "lane": view.lane,
        "state": view.state.value,
        "reason": view.reason,
        "jobs": list(view.jobs),
        "seen_s": round(view.seen_s, 1),
        "info": view.info.record(),
    }


def event_record(event: Event) -> dict[str, Any]:
    """Return an event as plain data."""
    return {
        "event_id": event.event_id,
        "event": event.name,
        "batch": event.batch,
        "job_id": event.job_id,
        "worker": event.worker,
        **event.fields,
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return what the doctor found as plain data."""
    return {
        "check": finding.name,
        "level": finding.level.value,
        "found": finding.found,
        "advice": finding.advice,
    }


def reason_record(reason: Reason) -> dict[str, Any]:
    """Return why something waits as plain data; what does not belong to the cause is null or empty."""
    values = {name: value for name, value in asdict(reason).items() if name not in {"cause", "text", "of_batch"}}
    return {"cause": reason.cause.value, **values}


def batch_line(view: BatchView) -> str:
    """Return a batch in one line for people."""
    counts = ", ".join(f"{count:,} {state.value}" for state, count in view.counts.items() if count)
    return f"batch {view.name}: {outcome(view) or view.state.value} ({counts or 'empty'}){printable(_why(view))}"


def _why(view: BatchView) -> str:
    """Return what keeps a batch from running, as the end of a line; empty if nothing does."""
    whys = [wait_text(wait, view.window) for wait in view.waits_for]
    if view.state is BatchState.PAUSED and view.why_paused:
        whys.insert(0, f"paused itself: {view.why_paused}")
    return "".join(f"; {why}" for why in whys)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, parted by two spaces; nothing in a cell begins a line or steers the terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    lines = ("  ".join(cut(cell, width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])
    return "\n".join(line.rstrip() for line in lines)


def link(clip: Clip) -> str:
    """Return the path of a clip in a local folder, or its link."""
    parts = urlsplit(clip.url)
    return unquote(parts.path) if parts.scheme == "file" else clip.url


def _file_record(clip: Clip) -> dict[str, Any]:
    return {
        "key": clip.key,
        "url": clip.url,
        "sha256": clip.sha256,
        "size_bytes": clip.size_bytes,
        "latents_sha256": clip.latents_sha256,
        "seconds": dict(clip.seconds),
        "gpu_s": clip.gpu_s,
        "energy_j": clip.energy_j,
        "reused_from": clip.reused_from or None,
    }
