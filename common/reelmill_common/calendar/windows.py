"""Windows: the hours of a wall clock in which something may run, as `mon-fri 22:00-07:00 Europe/Vienna`.

A window is open exactly while a clock on a wall of its zone shows a time inside it. So the changes of the clock need no
rule of their own: a time that is left out is passed with the change, and hours that are shown twice count twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from reelmill_common.errors import InvalidJob

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 86_400
LOOK_AHEAD_D = 15
"""Days within which a window that ever changes does: Samoa left out 30 December 2011, a Friday."""

_NEAR_D = 2
_STEP = timedelta(hours=2)  # no zone changed its clock twice within that time
_DAYS = re.compile(rf"(?P<first>{'|'.join(DAYS)})(-(?P<last>{'|'.join(DAYS)}))?")
_HOURS = re.compile(r"(?P<start>[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)-(?P<end>[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)")
_EXAMPLE = "for example '22:00-07:00 Europe/Vienna' or 'mon-fri 22:00-07:00, sat sun 00:00-24:00 Europe/Vienna'"
_MAX_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Hours of some days of the week. One that ends before it starts ends on the next day.

    Attributes:
        days: Days on which it starts, Monday is 0.
        start: Second of the day, 0 to 86,399.
        end: Second of the day at which it is over, 1 to 86,400.
    """

    days: frozenset[int]
    start: int
    end: int

    def holds(self, weekday: int, second: int) -> bool:
        """Whether a clock that shows this day and second is inside."""
        if self.start < self.end:
            return weekday in self.days and self.start <= second < self.end
        return (weekday in self.days and second >= self.start) or ((weekday - 1) % 7 in self.days and second < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """One or more spans in one time zone; open while any of them is.

    Attributes:
        text: As it was written.
    """

    text: str
    spans: tuple[Span, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Windows:
        """Read spans and a zone. Days stand before the hours that they are for; without any, every day is meant.

        Raises:
            InvalidJob: The text is none of a window.
        """
        return _parsed(text)

    def open_at(self, when: datetime) -> bool:
        """Whether it is open.

        Args:
            when: A time with any time zone.
        """
        local = when.astimezone(self.zone)
        second = local.hour * 3600 + local.minute * 60 + local.second
        return any(span.holds(local.weekday(), second) for span in self.spans)

    def next_change(self, when: datetime) -> datetime | None:
        """Return when it next opens or closes, in UTC, or None if it never does."""
        before = self.open_at(when)
        for days in (_NEAR_D, LOOK_AHEAD_D):  # most windows change every day
            for candidate in sorted(set(self._candidates(when, days))):
                if when < candidate <= when + timedelta(days=days) and self.open_at(candidate) != before:
                    return candidate
        return None

    def opens_next(self, when: datetime) -> datetime | None:
        """Return its next opening after a time, in UTC, or None if it never shuts."""
        change = self.next_change(when)
        return self.next_change(change) if change is not None and self.open_at(when) else change

    def _candidates(self, when: datetime, ahead: int) -> Iterator[datetime]:
        """Yield every time in so many days at which the answer of `open_at` can change, and others."""
        start = when.astimezone(UTC).replace(microsecond=0)
        first = start.astimezone(self.zone).date()
        edges = {edge for span in self.spans for edge in (span.start, span.end)}
        for days in range(-1, ahead + 2):
            for edge in edges:
                yield from _instants(first + timedelta(days=days), edge, self.zone)
        yield from clock_changes(self.zone, start, start + timedelta(days=ahead))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        InvalidJob: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # what zoneinfo raises for absent, unsafe and odd names and folders
        raise InvalidJob(
            f"time zone {name[:60]!r} is unknown; use a name of the tz database, for example Europe/Vienna or UTC"
        ) from None


def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the times between two times in UTC at which a zone's clock jumps, to the second."""
    early, offset = start, start.astimezone(zone).utcoffset()
    while early < end:
        late = early + _STEP
        later_offset = late.astimezone(zone).utcoffset()
        if later_offset != offset:
            yield _jump(zone, early, late)
        early, offset = late, later_offset


def _jump(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def _instants(day: date, second: int, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield when a clock shows a second of a day: once, or twice where it is set back."""
    local = datetime.combine(day, time()) + timedelta(seconds=second)
    for fold in (0, 1):
        yield local.replace(tzinfo=zone, fold=fold).astimezone(UTC)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Windows:
    parts = text.lower().replace(",", " ").split()
    if len(text) > _MAX_CHARS or len(parts) < 2:
        raise InvalidJob(f"window {text[:60]!r} is not hours and a time zone; use {_EXAMPLE}")
    zone_word = text.rsplit(maxsplit=1)[-1]
    spans: list[Span] = []
    days: set[int] = set()
    fresh = True  # whether the next day begins a new list of days
    for word in parts[:-1]:
        if found := _DAYS.fullmatch(word):
            days = (set() if fresh else days) | _weekdays(found["first"], found["last"] or found["first"])
            fresh = False
        elif found := _HOURS.fullmatch(word):
            spans.append(_span(text, days or set(range(7)), found["start"], found["end"]))
            fresh = True
        else:
            raise InvalidJob(f"window {text!r} has {word!r}, which is neither days nor hours; use {_EXAMPLE}")
    if not spans or not fresh:
        raise InvalidJob(f"window {text!r} has days without hours; use {_EXAMPLE}")
    if _HOURS.fullmatch(parts[-1]) or _DAYS.fullmatch(parts[-1]):
        raise InvalidJob(f"window {text!r} has no time zone at its end; use {_EXAMPLE}")
    return Windows(text=" ".join(text.split()), spans=tuple(spans), zone=zone_of(zone_word))


def _weekdays(first: str, last: str) -> set[int]:
    start, end = DAYS.index(first), DAYS.index(last)
    return {day % 7 for day in range(start, end + (7 if end < start else 0) + 1)}


def _span(text: str, days: set[int], start: str, end: str) -> Span:
    first, last = _second(text, start), _second(text, end)
    if first in {last, DAY_S}:
        raise InvalidJob(f"window {text!r} holds no time in {start}-{end}; 00:00-24:00 is the whole day")
    return Span(days=frozenset(days), start=first, end=last or DAY_S)


def _second(text: str, clock: str) -> int:
    hour, minute, second = (*(int(part) for part in clock.split(":")), 0)[:3]
    total = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or total > DAY_S:
        raise InvalidJob(f"window {text!r} has the time {clock}, which no clock shows; use 00:00 to 24:00")
    return total
