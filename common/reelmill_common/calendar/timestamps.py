"""Moments as the ledger's scripts write them: milliseconds since 1970 on Redis' clock."""

from __future__ import annotations

from datetime import UTC, datetime


def milliseconds(moment: datetime) -> int:
    """Return a moment as the scripts write it."""
    return round(moment.timestamp() * 1000)


def moment_of(ms: float) -> datetime:
    """Return the moment that a script wrote, in UTC."""
    return datetime.fromtimestamp(float(ms) / 1000, UTC)
