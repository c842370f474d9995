"""Logins of Flower: the file that they are read from, and when none is required."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from reelmill_common.errors import InvalidSettings


def read_users(path: Path) -> list[str]:
    """Read a file of `user:password` lines; empty lines and those that begin with # are skipped.

    Raises:
        InvalidSettings: It cannot be read, or has no user.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidSettings(f"--users-file {path} cannot be read: {err}") from err
    users = [line for line in lines if line and not line.startswith("#")]
    if not users:
        raise InvalidSettings(f"--users-file {path} has no user; write one user:password a line")
    return users


def check_login(login: str) -> None:
    """Raise InvalidSettings unless a login is `user:password`, neither empty. The message has no password."""
    user, _, password = login.partition(":")
    if not user or not password:
        raise InvalidSettings("a login of Flower is not user:password; set for example FLOWER_BASIC_AUTH=me:secret")


def require_auth(address: str, has_auth: bool, *, no_auth: bool) -> None:  # noqa: FBT001 - a fact, not a mode
    """Raise InvalidSettings if Flower would show prompts without a login, other than on a loopback address."""
    if has_auth:
        return
    if no_auth and is_loopback(address):
        return
    raise InvalidSettings(
        f"Flower on {address or 'every address'} would show prompts to everyone; set FLOWER_BASIC_AUTH=user:password "
        "or --users-file FILE (--no-auth is for a loopback address, such as 127.0.0.1)"
    )


def is_loopback(address: str) -> bool:
    """Whether an address or name means this host only."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
