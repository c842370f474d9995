"""Schedules: a prompt file's rows, a policy, and the times at which they become a new batch."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, get_args

from reelmill_common.calendar import time_text
from reelmill_common.calendar.cron import Cron
from reelmill_common.calendar.windows import zone_of
from reelmill_common.errors import InvalidJob
from reelmill_common.jobs import Batch, RenderJob, RenderSpec, check_name

CatchUp = Literal["skip", "once"]

ON_TIME = timedelta(minutes=5)
"""How late a run may begin and still count; a later one was missed, since no worker was alive."""
MAX_NAME = 44
"""Most characters of a name: the batch of a run has 20 more for its time, and at most 64."""
MAX_ROWS_CHARS = 16 * 2**20
"""Most characters of all pieces together, as they are stored in Redis."""

ScheduledRow = tuple[str, RenderSpec] | tuple[str, RenderSpec, Mapping[str, str]]
"""Key, spec, and metadata if there is any."""

TIME_FIELDS = ("start_after", "expires_at", "finish_by")
"""Fields of a policy that are times."""

_TIME = "%Y%m%dt%H%M%Sz"
_PIECE_ROWS = 1000
MOST_PIECE_BYTES = 64_000_000
"""Most bytes of an unpacked piece: rows with the longest prompts, four bytes a character, take half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is submitted, and when.

    Attributes:
        name: Key of the schedule; its batches are named after it and the time of the run.
        cron: When it runs.
        catch_up: What becomes of missed runs: `skip` them, or submit the last of them `once`.
        policy: Fields of `Batch` for its batches. Times in it count from a run's time (see `relative_time`).
    """

    name: str
    cron: Cron
    catch_up: CatchUp = "skip"
    policy: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_name("schedule", self.name)
        if len(self.name) > MAX_NAME:
            raise InvalidJob(f"schedule {self.name!r} has {len(self.name)} characters; use at most {MAX_NAME}")
        if self.catch_up not in get_args(CatchUp):
            raise InvalidJob(f"catch_up={self.catch_up!r} is unknown; known are {', '.join(get_args(CatchUp))}")

    def batch(self, run: datetime) -> Batch:
        """Return the batch of a run. Its name has the time in UTC, which no clock shows twice."""
        return run_batch(batch_name(self.name, run), self.policy)

    def run_at(self, due: datetime, now: datetime) -> tuple[datetime | None, datetime]:
        """Return the run to begin now (None: it was missed), and when the next one is due.

        Args:
            due: A run that is not after now.
            now: In UTC.
        """
        if now - due <= ON_TIME:
            return due, self.cron.next_after(due)
        if self.catch_up == "skip":
            return None, self.cron.next_after(now - ON_TIME)
        last = self.cron.last_until(due, now)
        return last, self.cron.next_after(last)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule as it is in the ledger.

    Attributes:
        jobs: Number of rows of its file.
        next_at: Unix seconds of its next run, or None while it is paused.
        last_at: Unix seconds of its last run, or None.
        last_batch: Batch of its last run; empty if it had none.
        error: Why its last run could not be submitted; empty otherwise.
    """

    schedule: Schedule
    jobs: int
    paused: bool
    created_at: float
    next_at: float | None
    last_at: float | None
    last_batch: str
    error: str


def batch_name(schedule: str, run: datetime) -> str:
    """Return the name of a run's batch, such as `nightly-20261124t210000z`, which sorts by time."""
    return f"{schedule}-{run:{_TIME}}"


def run_batch(name: str, policy: Mapping[str, Any]) -> Batch:
    """Return the batch of a run from its name, which holds the run's time, and its schedule's policy.

    Raises:
        InvalidJob: A value is out of range, or a time of the policy cannot be read.
        TypeError: The policy has a field that this version does not know.
    """
    values = dict(policy)
    for field in TIME_FIELDS:
        if isinstance(text := values.get(field), str):
            word, _, zone = text.partition(" ")
            values[field] = time_text.time_at(field, word, _time_of(name), zone_of(zone) if zone else UTC).timestamp()
    return Batch(name=name, **values)


def relative_time(field: str, text: str, zone: str) -> str:
    """Return a time as a schedule's policy holds it: `8h` or `07:00 Europe/Vienna`, counted from a run's time.

    Raises:
        InvalidJob: It does not count from a run's time, or is not a time.
    """
    if time_text.is_span(text):
        return text
    if time_text.is_clock(text):
        return f"{text} {zone}"
    raise InvalidJob(
        f"{field} {text[:40]!r} does not count from the time of a run, and a schedule runs again and again; use a span "
        "such as 8h, or a time of day such as 07:00"
    )


def _time_of(run: str) -> datetime:
    try:
        return datetime.strptime(run.rpartition("-")[2], _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidJob(f"batch {run!r} is not a run of a schedule; its name ends in a time") from None


def policy_of(batch: Batch) -> dict[str, Any]:
    """Return the fields of a batch that are policy and differ from the default."""
    return {
        item.name: value
        for item in fields(Batch)
        if item.name != "name" and (value := getattr(batch, item.name)) != item.default
    }


def pack(rows: Iterable[ScheduledRow]) -> Iterator[tuple[str, int]]:
    """Yield pieces of text that hold some rows each, with their number of rows.

    Raises:
        InvalidJob: All of them together are too large to be kept.
    """
    size, rest = 0, iter(rows)
    while chunk := list(islice(rest, _PIECE_ROWS)):
        text = json.dumps([_packed(row) for row in chunk], ensure_ascii=False)
        piece = base64.b85encode(zlib.compress(text.encode(), 9)).decode()
        size += len(piece)
        if size > MAX_ROWS_CHARS:
            raise InvalidJob(
                f"the rows are more than {MAX_ROWS_CHARS // 2**20} MiB when packed, too much for a schedule; split the "
                "file over several schedules, or submit it with --window"
            )
        yield piece, len(chunk)


def unpack(piece: str, batch: str) -> Iterator[RenderJob]:
    """Yield the jobs that a piece holds.

    Raises:
        InvalidJob: This version cannot read a row.
    """
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b85decode(piece), MOST_PIECE_BYTES)
        if unpacking.unconsumed_tail:
            raise InvalidJob(
                f"a piece of the rows unpacks to more than {MOST_PIECE_BYTES:,} bytes; add the schedule again"
            )
        rows = [(str(key), str(spec), dict(*metadata)) for key, spec, *metadata in json.loads(text)]
    except (ValueError, TypeError, zlib.error, RecursionError) as err:
        if isinstance(err, InvalidJob):
            raise
        raise InvalidJob(f"the rows of the schedule cannot be read ({err}); add it again") from err
    for key, spec, metadata in rows:
        yield RenderJob(batch=batch, row=key, spec=RenderSpec.from_json(spec), metadata=metadata)


def _packed(row: ScheduledRow) -> list[object]:
    packed: list[object] = [row[0], row[1].to_json()]
    return [*packed, dict(row[2])] if len(row) == 3 and row[2] else packed
