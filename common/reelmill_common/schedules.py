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
"""How late a run may begin and still be that run. What is later was missed: nobody was there."""
MAX_NAME = 44
"""Characters: the batch of a run has 20 more for its time, and at most 64."""
MAX_ROWS_CHARS = 16 * 2**20
"""Of all pieces together, as they lie in Redis."""

ScheduledRow = tuple[str, RenderSpec] | tuple[str, RenderSpec, Mapping[str, str]]
"""Key, spec, and metadata if there is any."""

MOMENTS = ("start_after", "expires_at")
"""Fields of a policy that are moments."""

_TIME = "%Y%m%dt%H%M%Sz"
_PIECE_ROWS = 1000
MOST_PIECE_BYTES = 64_000_000
"""Of a piece unpacked: its rows with prompts of the longest kind, each character four bytes, are half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is submitted when.

    Attributes:
        name: Key of the schedule; its batches are named by it and by the time of the run.
        cron: When it runs.
        catch_up: What becomes of runs that nobody was there for: `skip` them, or submit the last of them `once`.
        policy: Fields of `Batch` for its batches. Moments in it count from a run's time (see `moment_words`).
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

    def batch(self, moment: datetime) -> Batch:
        """Return the batch of the run of a moment. Its name has the time in UTC, which no clock shows twice."""
        return run_batch(batch_name(self.name, moment), self.policy)

    def run_at(self, due: datetime, now: datetime) -> tuple[datetime | None, datetime]:
        """Return which run to begin now (None: none, it was missed), and when the next one is due.

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
    """A schedule as the ledger has it.

    Attributes:
        jobs: Rows of its file.
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


def batch_name(schedule: str, moment: datetime) -> str:
    """Return the name of a run's batch, such as `nightly-20261124t210000z`: sorts by time."""
    return f"{schedule}-{moment:{_TIME}}"


def run_batch(name: str, policy: Mapping[str, Any]) -> Batch:
    """Return the batch of a run by its name, which has the run's time, and its schedule's policy.

    Raises:
        InvalidJob: A value is out of range, or a moment of the policy cannot be read.
        TypeError: The policy has a field that this version does not know.
    """
    values = dict(policy)
    for field in MOMENTS:
        if isinstance(text := values.get(field), str):
            word, _, zone = text.partition(" ")
            values[field] = time_text.time_at(field, word, _time_of(name), zone_of(zone) if zone else UTC).timestamp()
    return Batch(name=name, **values)


def moment_words(field: str, text: str, zone: str) -> str:
    """Return a moment as a schedule's policy has it: `8h`, or `07:00 Europe/Vienna`, each counted from a run's time.

    Raises:
        InvalidJob: It is one moment for all runs, or none.
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
        raise InvalidJob(f"batch {run!r} is no run of a schedule; its name ends in a time") from None


def policy_of(batch: Batch) -> dict[str, Any]:
    """Return what of a batch is policy and not as by default."""
    return {
        item.name: value
        for item in fields(Batch)
        if item.name != "name" and (value := getattr(batch, item.name)) != item.default
    }


def pack(rows: Iterable[ScheduledRow]) -> Iterator[tuple[str, int]]:
    """Yield pieces of text that hold some rows each, and their number of rows.

    Raises:
        InvalidJob: All together they are too much to be kept.
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
        InvalidJob: A row is none that this version knows.
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
