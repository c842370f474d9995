"""The command `logs`: what happened to a job, a batch or a worker, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reelmill_common.errors import NotFound, StoreError
from reelmill_common.text.terminal_text import printable
from reelmill_producer.analysis.history import History, HistoryLine, forgotten, history, with_logs
from reelmill_producer.cli.errors import say, tell
from reelmill_producer.cli.options import Json, Teller
from reelmill_producer.cli.output import print_json
from reelmill_producer.cli.session import reading
from reelmill_producer.control import is_job_id

if TYPE_CHECKING:
    from reelmill_producer.client import Reelmill

_QUIET = {"exception"}
"""Fields that are not shown in the line itself."""


def logs(
    target: Teller,
    *,
    json: Json = False,
) -> None:
    """Tell what happened: each attempt's way through the farm, and what its worker logged.

    Workers keep the log of attempts that failed, or of all: REELMILL_KEEP_LOGS.
    """
    with reading() as farm:
        told = _told(farm, target)
    for line in told.lines:
        if json:
            print_json(asdict(line))
        else:
            _show(line)
    if not told.lines:
        tell("nothing is known of it any more: the ledger keeps the newest 50,000 events")
    if told.unreadable:
        more = " …" if len(told.unreadable) > 5 else ""
        tell(f"passed over, since they are not logs of ours: {', '.join(told.unreadable[:5])}{more}")
    if told.left_out:
        tell(f"logs of {told.left_out:,} more attempts were left out; `reelmill logs JOB` tells of one job")


def _told(farm: Reelmill, target: str) -> History:
    target = farm.id_of(target)
    try:
        lines = history(farm.ledger, target)
    except NotFound as err:
        if "@" in target:
            raise
        if is_job_id(target):
            raise NotFound(f"{err}. Of a batch that was pruned, `reelmill logs BATCH` tells what is left") from err
        told = forgotten(farm.ledger, farm.store, target)
        tell(f"batch {target} is not in the ledger any more; this is what is left of it")
        return told
    try:
        return with_logs(farm.ledger, farm.store, target, lines)
    except StoreError as err:
        tell(f"what the workers logged cannot be read: {err}")
        return History(lines=lines)


def _show(line: HistoryLine) -> None:
    when = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    whose = f"{line.batch}/{line.row}" if line.row else line.job_id or line.batch or line.worker
    attempt = f" #{line.attempt}" if line.attempt else ""
    worker = f" by {line.worker}" if line.name == "job.claimed" else ""
    mark = f"[{line.level}] " if line.source == "worker" else ""
    # Without line ends, and a worker's line with its mark: nothing in it passes for a line of ours.
    say(printable(f"{when}  {whose}{attempt}  {mark}{line.name}{worker}{_facts(line.fields)}"))
    if "exception" in line.fields:
        for text in str(line.fields["exception"]).splitlines():
            say(f"    {printable(text)}")


def _facts(fields: Mapping[str, Any]) -> str:
    return "".join(
        f" {name}={value}" for name, value in fields.items() if name not in _QUIET and value not in ("", None)
    )
