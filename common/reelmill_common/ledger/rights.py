"""The rights that a user of Redis (ACL) needs for a farm, as `docs/security.md` and our messages give them."""

from __future__ import annotations

KEYS = "~reelmill:*"
CHANNELS = "&reelmill:*"


def grant() -> str:
    """Return the command that gives a user what a farm needs."""
    return f"ACL SETUSER <user> {KEYS} {CHANNELS}"
