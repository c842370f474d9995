"""Times as the ledger's scripts write them: milliseconds since 1970 on Redis' clock."""

from __future__ import annotations

from datetime import UTC, datetime


def milliseconds(when: datetime) -> int:
    """Return a time as the scripts write it."""
    return round(when.timestamp() * 1000)


def from_milliseconds(ms: float) -> datetime:
    """Return the time that a script wrote, in UTC."""
    return datetime.fromtimestamp(float(ms) / 1000, UTC)
