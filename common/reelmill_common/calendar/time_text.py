"""Moments as people write them: `07:00`, `2026-12-24T07:00`, or `8h` from now."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from reelmill_common.errors import InvalidJob

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"\+?([0-9]{1,6})([smhd])")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def is_span(text: str) -> bool:
    """Whether a text is a span from now."""
    return _SPAN.fullmatch(text) is not None


def is_clock(text: str) -> bool:
    """Whether a text is a time of day."""
    return _CLOCK.fullmatch(text) is not None


def moment(option: str, text: str, now: datetime) -> float:
    """Return Unix seconds.

    Args:
        option: Name of the option, for the message.
        text: A span from now (`90m`, `8h`, `2d`), a time of day (the next one), or a date and time after ISO 8601. What
            names no zone is in that of `now`.
        now: With its zone.

    Raises:
        InvalidJob: It is none of them.
    """
    try:
        if span := _SPAN.fullmatch(text):
            return (now + timedelta(**{_UNITS[span[2]]: int(span[1])})).timestamp()
        if clock := _CLOCK.fullmatch(text):
            today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return (today if today > now else today + timedelta(days=1)).timestamp()
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=now.tzinfo)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidJob(
            f"{option} {text[:40]!r} is no moment; use 07:00, 2026-12-24T07:00+01:00, or a span such as 8h"
        ) from None
