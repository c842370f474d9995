"""Tokens: what people and programs without a password of Redis come in with, stored as hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from reelmill_common.access import Principal, Role
from reelmill_common.errors import InvalidDocument, InvalidJob, InvalidSettings, JobConflict, LedgerReadOnly, NotFound
from reelmill_common.jobs import Batch, check_name
from reelmill_common.ledger.base import LedgerPart
from reelmill_common.text.suggestions import did_you_mean

PREFIX = "rmt_"
"""What every token begins with, so that a scanner of secrets can find one that was published by mistake."""
RANDOM_BYTES = 32
USED_GRAIN_S = 300.0
"""Seconds for which a token's use is not noted again: a busy one costs a write every five minutes, not each request."""

_TOKEN = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token as the ledger has it, without its text, which is stored nowhere.

    Attributes:
        created_at, expires_at: Unix seconds on Redis' clock. None: it never expires.
        used_at: When it was last used, up to `USED_GRAIN_S` early; None: never.
        expired: Whether it is refused because of its age.
    """

    name: str
    role: Role
    owner: str | None
    created_at: float
    expires_at: float | None
    used_at: float | None
    expired: bool


class Tokens(LedgerPart):
    """Makes and revokes tokens, and says what one allows. All times are on Redis' clock.

    A token is looked up by its SHA-256, so how long that takes says nothing about the tokens that there are. It has 256
    random bits, so its hash needs neither salt nor a slow function.
    """

    def make(self, name: str, role: Role, owner: str | None = None, expires_at: float | None = None) -> str:
        """Make a token and return its text, which is not kept. One of that name that has expired is replaced.

        Args:
            name: In the alphabet of batch names.
            role: What its holder may do.
            owner: The only owner whose batches it is for; None: all.
            expires_at: Unix seconds from which it is refused; None: never.

        Raises:
            InvalidJob: The name or the owner cannot be used.
            InvalidSettings: The role and the owner do not go together, or it would have expired already.
            JobConflict: There is a valid one of that name.
        """
        check_name("token", name)
        _check_owner(role, owner)
        if expires_at is not None and expires_at <= self._now().timestamp():
            raise InvalidSettings(f"the token {name!r} would have expired already; give a later time")
        random = secrets.token_urlsafe(RANDOM_BYTES)
        expires = "" if expires_at is None else round(expires_at * 1000)
        owners = () if owner is None else (owner,)
        if not self._server.run("token_put", name, _digest(random), role.value, expires, *owners):
            raise JobConflict(f"token {name!r} exists already; take another name, or revoke it first")
        return f"{PREFIX}{random}"

    def principal(self, text: str) -> Principal | None:
        """Return who holds a token; None if it is unknown, expired or revoked."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        digest = _digest(found[1])
        fields, clock = self._server.read([("HGETALL", self._keys.token(digest)), ("TIME",)])
        now = int(clock[0]) + int(clock[1]) / 1e6
        view = _view(fields, now) if fields else None
        if view is None or view.expired:
            return None
        if view.used_at is None or now - view.used_at > USED_GRAIN_S:
            with suppress(LedgerReadOnly):  # who only reads is let in all the same
                self._server.run("token_used", digest)
        return Principal(name=view.name, role=view.role, owner=view.owner)

    def all(self) -> list[TokenView]:
        """Return all tokens, by name; also those that have expired."""
        digests, now = self._names(), self._now().timestamp()
        commands = [("HGETALL", self._keys.token(digests[name])) for name in sorted(digests)]
        return [_view(fields, now) for fields in (self._server.read(commands) if commands else ()) if fields]

    def revoke(self, name: str) -> None:
        """Refuse a token from now on. Raises `NotFound`."""
        if not self._server.run("token_revoke", name):
            asked = did_you_mean(name, self._names())
            raise NotFound(f"no token {name!r}; {asked}`reelmill token list` shows those that there are")

    def _names(self) -> Mapping[str, str]:
        found: dict[str, str] = self._server.read([("HGETALL", self._keys.token_names)])[0]
        return found


def _check_owner(role: Role, owner: str | None) -> None:
    if role is Role.OPERATOR and owner is not None:
        raise InvalidSettings("an operator acts for all owners; leave the owner out, or take the role submitter")
    if role is Role.SUBMITTER and owner is None:
        raise InvalidSettings("a submitter needs an owner, whose batches it submits and steers; '' is a valid one")
    try:
        Batch(name="any", owner=owner or "")
    except InvalidJob as err:
        raise InvalidJob(f"{err}; a token's owner is written as that of a batch") from err


def _digest(random: str) -> str:
    return hashlib.sha256(random.encode()).hexdigest()


def _view(fields: Mapping[str, str], now: float) -> TokenView:
    if fields["role"] not in set(Role):
        raise InvalidDocument(f"token {fields['name']!r} has the role {fields['role']!r}, which this version lacks")
    expires_at = int(fields["expires"]) / 1000 if "expires" in fields else None
    return TokenView(
        name=fields["name"],
        role=Role(fields["role"]),
        owner=fields.get("owner"),
        created_at=int(fields["created"]) / 1000,
        expires_at=expires_at,
        used_at=int(fields["used"]) / 1000 if "used" in fields else None,
        expired=expires_at is not None and expires_at <= now,
    )
