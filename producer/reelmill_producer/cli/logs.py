"""The command `logs`: what happened to a job, a batch or a worker, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reelmill_common.errors import NotFound, StoreError
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.history import History, HistoryLine, forgotten, history, with_logs
from reelmill_producer.cli.console import inform, print_text
from reelmill_producer.cli.options import Json, LogTarget
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.control import is_job_id

if TYPE_CHECKING:
    from reelmill_producer.client import Reelmill

_QUIET = {"exception"}
"""Fields that are not shown in the line itself."""


def logs(
    target: LogTarget,
    *,
    json: Json = False,
) -> None:
    """Show what happened: each attempt's way through the farm, and what its worker logged.

    Workers keep the log of attempts that failed, or of all: REELMILL_KEEP_LOGS.
    """
    with reading(target) as farm:
        history = _history(farm, target)
    for line in history.lines:
        if json:
            print_json(asdict(line))
        else:
            _show(line)
    if not history.lines:
        inform("no events of it are left: the ledger keeps the newest 50,000")
    if history.unreadable:
        more = " …" if len(history.unreadable) > 5 else ""
        inform(f"skipped, since they are not logs of a worker: {', '.join(history.unreadable[:5])}{more}")
    if history.left_out:
        inform(f"logs of {history.left_out:,} more attempts were left out; `reelmill logs JOB` shows one job's")


def _history(farm: Reelmill, target: str) -> History:
    target = farm.id_of(target)
    try:
        lines = history(farm.ledger, target)
    except NotFound as err:
        if "@" in target:
            raise
        if is_job_id(target):
            raise NotFound(f"{err}. For a batch that was pruned, `reelmill logs BATCH` shows what is left") from err
        left = forgotten(farm.ledger, farm.store, target)
        inform(f"batch {target} is not in the ledger any more; this is what is left of it")
        return left
    try:
        return with_logs(farm.ledger, farm.store, target, lines)
    except StoreError as err:
        inform(f"the workers' logs cannot be read: {err}")
        return History(lines=lines)


def _show(line: HistoryLine) -> None:
    when = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    subject = f"{line.batch}/{line.row}" if line.row else line.job_id or line.batch or line.worker
    attempt = f" #{line.attempt}" if line.attempt else ""
    worker = f" by {line.worker}" if line.name == "job.claimed" else ""
    mark = f"[{line.level}] " if line.source == "worker" else ""
    # Without line ends, and a worker's line with its mark: nothing in it can pass for a line of ours.
    print_text(printable(f"{when}  {subject}{attempt}  {mark}{line.name}{worker}{_facts(line.fields)}"))
    if "exception" in line.fields:
        for text in str(line.fields["exception"]).splitlines():
            print_text(f"    {printable(text)}")


def _facts(fields: Mapping[str, Any]) -> str:
    return "".join(
        f" {name}={value}" for name, value in fields.items() if name not in _QUIET and value not in ("", None)
    )
