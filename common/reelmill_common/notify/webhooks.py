"""Webhooks: who is notified about what, and in which form. Checked once, when one is added."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from reelmill_common.errors import InvalidDocument, InvalidSettings
from reelmill_common.notify.signature import checked_secret, new_secret
from reelmill_common.text.untrusted_json import read_object

NOUNS = ("job", "batch", "worker", "schedule", "owner", "webhook")
"""First parts of event names."""
NIGHT = ("schedule.*", "batch.window_opened", "batch.window_shut")
"""What `night.*` stands for."""
DEFAULT_EVENTS = (
    "batch.finished",
    "batch.paused",
    "batch.stuck",
    "batch.expired",
    "worker.quarantined",
    "worker.lost",
    "schedule.failed",
    "schedule.missed",
)
"""Events that need a person, or that a person waits for."""
OVERLAP_S = 24 * 3600.0
"""Seconds for which the secret before a rotation still signs."""

MOST_HEADER_CHARS = 4096
SHORTEST_HIDDEN = 4
"""Least length of a secret that is hidden in a receiver's answer: one of three would hide half of any text."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = re.compile(
    r"host|content-.*|transfer-encoding|connection|expect|te|trailer|upgrade|user-agent|webhook-(id|timestamp|signature)"
)
_MAILBOX = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


class ReceiverKind(Enum):
    """What a webhook's receiver understands."""

    STANDARD = "standard"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    EMAIL = "email"


_HOSTS = {
    "hooks.slack.com": ReceiverKind.SLACK,
    "hooks.slack-gov.com": ReceiverKind.SLACK,
    "discord.com": ReceiverKind.DISCORD,
    "discordapp.com": ReceiverKind.DISCORD,
    "webhook.office.com": ReceiverKind.TEAMS,
    "logic.azure.com": ReceiverKind.TEAMS,
    "api.powerplatform.com": ReceiverKind.TEAMS,
}
"""Kind of receiver by the end of its host's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver.

    Attributes:
        target: An `http(s)` URL, or a mail address. Slack's URLs are secrets themselves: show `place` instead.
        events: Patterns of event names, such as `batch.*`.
        secret: Signs messages; empty for kinds that are not signed.
        before: The secret before the last rotation, which signs too until `before_until` (Unix time).
        headers: Names and values sent with each request, such as `Authorization`. Secrets too: show only the names.
    """

    id: str
    kind: ReceiverKind
    target: str = field(repr=False)
    events: tuple[str, ...] = DEFAULT_EVENTS
    secret: str = field(default="", repr=False)
    before: str = field(default="", repr=False)
    before_until: float = 0.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def new(
        cls,
        target: str,
        *,
        kind: ReceiverKind | None = None,
        events: tuple[str, ...] = (),
        secret: str = "",
        headers: tuple[str, ...] = (),
    ) -> Webhook:
        """Make a webhook from untrusted text; without a kind, the target decides it (`kind_of`).

        Each header is written as `Name: value`.

        Raises:
            InvalidSettings: The target, a pattern, the secret or a header cannot be used. The message shows no secret.
        """
        kind = kind or kind_of(target)
        _check_target(target, kind)
        if headers and kind is ReceiverKind.EMAIL:
            raise InvalidSettings("a mail has no HTTP headers; leave --header out")
        if secret and kind is not ReceiverKind.STANDARD:
            raise InvalidSettings(f"a webhook of the kind {kind.value} is not signed; leave the secret out")
        signed = (checked_secret(secret) if secret else new_secret()) if kind is ReceiverKind.STANDARD else ""
        name = f"wh_{secrets.token_hex(4)}"
        return cls(
            id=name,
            kind=kind,
            target=target,
            events=_patterns(events) or DEFAULT_EVENTS,
            secret=signed,
            headers=checked_headers(headers),
        )

    @classmethod
    def decode(cls, text: str) -> Webhook:
        """Read what `encode` wrote.

        Raises:
            InvalidDocument: It is damaged, or of a newer version. The message shows nothing of it.
        """
        try:
            found: Webhook = _ADAPTER.validate_python(read_object(text, "a webhook in the ledger"))
        except ValueError:
            raise InvalidDocument("a webhook in the ledger is damaged, or was added by a newer version") from None
        return found

    def encode(self) -> str:
        """Return it as JSON, with its secrets: for the ledger only."""
        return json.dumps(asdict(self) | {"kind": self.kind.value})

    def wants(self, event: str) -> bool:
        """Whether it is notified of an event."""
        return any(fnmatchcase(event, pattern) for pattern in self.events)

    def rotated(self) -> Webhook:
        """Return it with a new secret; the present one still signs for a day.

        Raises:
            InvalidSettings: It is of a kind that is not signed.
        """
        if self.kind is not ReceiverKind.STANDARD:
            raise InvalidSettings(f"{self.id} is of the kind {self.kind.value}, which is not signed: nothing to rotate")
        return replace(self, secret=new_secret(), before=self.secret, before_until=time.time() + OVERLAP_S)

    @property
    def live_secrets(self) -> tuple[str, ...]:
        """The secrets that sign now, the newest first."""
        if self.before and time.time() < self.before_until:
            return (self.secret, self.before)
        return (self.secret,)

    def masked(self, text: str) -> str:
        """Return a receiver's answer without the secrets that were sent to it, which it may repeat."""
        values = [part for _, value in self.headers for part in (value, value.rpartition(" ")[2])]
        parts = urlsplit(self.target) if self.kind is not ReceiverKind.EMAIL else urlsplit("")
        secrets_of_it = [*values, self.secret, self.before, parts.path.strip("/"), parts.query]
        for secret in sorted(secrets_of_it, key=len, reverse=True):  # one may be a part of another
            if len(secret) >= SHORTEST_HIDDEN:
                text = text.replace(secret, "(hidden)")
        return text

    @property
    def place(self) -> str:
        """The target as it may be shown and logged: only the host of a URL, since the path may be a secret."""
        if self.kind is ReceiverKind.EMAIL:
            return self.target
        parts = urlsplit(self.target)
        shown = f"{parts.scheme}://{parts.netloc}"
        return shown if parts.path in {"", "/"} and not parts.query else f"{shown}/…"


def kind_of(target: str) -> ReceiverKind:
    """Return what a receiver understands by its address; `standard` where the address does not say."""
    try:
        parts = urlsplit(target)
        host = (parts.hostname or "").lower().rstrip(".")
    except ValueError:
        return ReceiverKind.STANDARD
    if "://" not in target and "@" in target:
        return ReceiverKind.EMAIL
    found = next(
        (kind for end, kind in _HOSTS.items() if host == end or host.endswith(f".{end}")), ReceiverKind.STANDARD
    )
    # https://discord.com/developers/docs/resources/webhook#execute-slackcompatible-webhook
    return ReceiverKind.SLACK if found is ReceiverKind.DISCORD and parts.path.rstrip("/").endswith("/slack") else found


def checked_headers(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return names and values of headers that were given as `Name: value`.

    Raises:
        InvalidSettings: One cannot be sent, or is ours. The message does not show its value.
    """
    found: dict[str, str] = {}
    for text in given:
        name, colon, value = (part.strip(" \t") for part in text.partition(":"))
        if not colon or not _HEADER.fullmatch(name):
            raise InvalidSettings("a header is not NAME: VALUE; use one such as 'Authorization: Bearer TOKEN'")
        if not value or len(value) > MOST_HEADER_CHARS or not value.isascii() or not value.isprintable():
            raise InvalidSettings(
                f"the header {name} has no value that can be sent; use 1 to {MOST_HEADER_CHARS:,} printable ASCII "
                "characters in one line"
            )
        if _OURS.fullmatch(name.lower()) or name.lower() in found:
            raise InvalidSettings(f"the header {name} is ours, or stands twice; leave it out")
        found[name.lower()] = value
    return tuple(found.items())


def _check_target(target: str, kind: ReceiverKind) -> None:
    if kind is ReceiverKind.EMAIL:
        if not _MAILBOX.fullmatch(target):
            # Not shown: it may be a URL of Slack's, which is a secret.
            raise InvalidSettings("the target is not a valid mail address; use one such as ops@example.org")
        return
    try:
        parts = urlsplit(target)
        wrong = parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    # Not shown: it may hold a secret.
    if wrong or not target.isascii() or not target.isprintable() or " " in target:
        raise InvalidSettings("the target is not a valid URL; use one such as https://example.org/hooks/reelmill")
    if urlsplit(target).username is not None:
        raise InvalidSettings(
            "the URL holds a user or password, which ends up in logs; let the receiver verify the signature"
        )


def _patterns(given: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for pattern in given:
        noun, dot, verb = pattern.partition(".")
        if pattern == "*":
            found += [f"{noun}.*" for noun in NOUNS]
        elif pattern == "night.*":
            found += NIGHT
        elif noun in NOUNS and dot and re.fullmatch(r"\*|[a-z_]+", verb):
            found.append(pattern)
        else:
            raise InvalidSettings(
                f"{pattern!r} is not the name of an event; use a name such as batch.finished, or one of "
                f"{', '.join(f'{noun}.*' for noun in (*NOUNS, 'night'))}, or *"
            )
    return tuple(dict.fromkeys(found))


_ADAPTER: TypeAdapter[Any] = TypeAdapter(Webhook)
