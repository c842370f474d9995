"""Times as people write them: `07:00`, `2026-12-24T07:00`, a day, or a span such as `90m`. The only parser of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from reelmill_common.errors import InvalidJob

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"\+?([0-9]{1,6})([smhd])")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def is_span(text: str) -> bool:
    """Whether a text is a span of time."""
    return _SPAN.fullmatch(text) is not None


def is_clock(text: str) -> bool:
    """Whether a text is a time of day."""
    return _CLOCK.fullmatch(text) is not None


def span_s(option: str, text: str) -> float:
    """Return the seconds of a span: `90m`, `8h`, `2d`.

    Raises:
        InvalidJob: The text is not a span.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidJob(
            f"{option} {text[:40]!r} is not a valid span of time; give a number with s, m, h or d, such as 30d"
        )
    return float(int(found[1]) * _UNIT_S[found[2]])


def time_at(option: str, text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the time that a text means, in UTC.

    Args:
        option: Name of the option, for the message.
        text: A span from now, a time of day (the next one), or a date and time after ISO 8601.
        now: With a time zone, any.
        zone: Zone of a text that names none. Default: this machine's.

    Raises:
        InvalidJob: The text is none of them.
    """
    try:
        if is_span(text):
            return now.astimezone(UTC) + timedelta(seconds=span_s(option, text))
        if clock := _CLOCK.fullmatch(text):
            today = now.astimezone(zone).replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            at = _in_utc(today.replace(tzinfo=None), zone)
            return at if at > now else _in_utc(today.replace(tzinfo=None) + timedelta(days=1), zone)
        return _in_utc(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        raise InvalidJob(
            f"{option} {text[:40]!r} is not a valid time; give 07:00, 2026-12-24T07:00+01:00, or a span such as 8h"
        ) from None


def day_at(option: str, text: str, now: datetime) -> datetime:
    """Return a time within the UTC day that a text means.

    Args:
        option: Name of the option, for the message.
        text: A date, `2026-11-01`, or a span before now, `7d`.
        now: With a time zone, any.

    Raises:
        InvalidJob: The text is neither.
    """
    try:
        if is_span(text):
            return now.astimezone(UTC) - timedelta(seconds=span_s(option, text))
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidJob(
            f"{option} {text[:40]!r} is not a valid day; give 2026-11-01, or 7d for seven days ago"
        ) from None


def _in_utc(time: datetime, zone: tzinfo | None) -> datetime:
    """Return a time in UTC; one without a zone is in this one, by its rules for that day. None: this machine's."""
    return (time.replace(tzinfo=zone) if time.tzinfo is None and zone is not None else time).astimezone(UTC)
