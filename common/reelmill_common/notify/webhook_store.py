"""Webhooks, their waiting messages and the log of attempts, in the ledger (`lua/lib/notify.lua`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import structlog
from redis import Redis

from reelmill_common.errors import InvalidDocument, NotFound
from reelmill_common.ledger.base import kept
from reelmill_common.ledger.events import place
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import PATIENT, Patience, Server, connect
from reelmill_common.notify.notification import Notification
from reelmill_common.notify.webhooks import Webhook
from reelmill_common.settings import Settings

WAITING_MOST = 10_000
"""Most messages that wait for one webhook, about 8 MB; beyond it the oldest is dropped and counted."""
DEAD_AFTER_S = 5 * 86_400.0
"""Seconds without a success after which a failing webhook is disabled."""
log = structlog.get_logger(__name__)

_MISSING = "no webhook {!r}; `reelmill webhook list` lists them"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookView:
    """A webhook and the health of its receiver.

    Attributes:
        created_at, failing_since: Unix time; `failing_since` is 0 while it does not fail.
        disabled: Why nothing is sent to it; empty while it is enabled.
        waiting: Messages that are not yet sent.
        dropped: Messages that were dropped because too many waited.
    """

    webhook: Webhook
    created_at: float
    failing_since: float
    disabled: str
    waiting: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """Messages that are due for one webhook, each with the attempts made before."""

    webhook: Webhook
    due: Sequence[tuple[Notification, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The result of one attempt.

    Attributes:
        outcome: `sent`, `retry` or `failed`; `failed` is not tried again.
        wait_s: Seconds until the next attempt.
        status: HTTP status, or empty.
        gone: The receiver wants no more messages.
    """

    outcome: str
    status: str
    detail: str
    took_s: float
    wait_s: float = 0.0
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An attempt in the log; `at` is Unix time."""

    at: float
    webhook: str
    message: str
    type: str
    outcome: str
    attempt: int
    status: str
    detail: str
    took_s: float


class WebhookStore:
    """Webhooks and their messages in Redis. Raises `LedgerUnavailable` and `LedgerRefused` as `Ledger` does."""

    def __init__(self, redis: Redis, *, farm: str) -> None:
        self._keys = Keys(farm)
        self._server = Server(redis, self._keys.prefix)

    @classmethod
    def connect(cls, settings: Settings, *, patience: Patience = PATIENT) -> WebhookStore:
        """Connect as `Ledger.connect` does."""
        return cls(connect(settings, Keys(settings.farm).prefix, patience=patience), farm=settings.farm)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- webhooks ------------------------------------------------------------------------------------------------

    def add(self, webhook: Webhook) -> None:
        """Add a webhook: it is notified of events from now on."""
        self._server.run("notify_put", webhook.id, webhook.encode(), "0")

    def replace(self, webhook: Webhook) -> None:
        """Change a webhook. Raises `NotFound`."""
        _there(self._server.run("notify_put", webhook.id, webhook.encode(), "1"), webhook.id)

    def remove(self, name: str) -> None:
        """Remove a webhook and its waiting messages. Raises `NotFound`."""
        _there(self._server.run("notify_drop", name), name)

    def enable(self, name: str) -> None:
        """Send to a disabled webhook again, its waiting messages first. Raises `NotFound`."""
        _there(self._server.run("notify_enable", name), name)

    def webhooks(self) -> list[WebhookView]:
        """Return all webhooks, oldest first."""
        views = (
            WebhookView(
                webhook=webhook,
                created_at=int(created) / 1000,
                failing_since=int(failing or 0) / 1000,
                disabled=disabled,
                waiting=int(waiting),
                dropped=int(dropped),
            )
            for name, config, created, failing, disabled, dropped, waiting in self._server.run("notify_list")
            if (webhook := _decoded(name, config)) is not None
        )
        return sorted(views, key=lambda view: (view.created_at, view.webhook.id))

    def webhook(self, name: str) -> Webhook:
        """Return one webhook. Raises `NotFound`."""
        for view in self.webhooks():
            if view.webhook.id == name:
                return view.webhook
        raise NotFound(_MISSING.format(name))

    def log(self, *, webhook: str = "", count: int = 100) -> list[LogEntry]:
        """Return the newest attempts, newest first, of one webhook or of all."""
        (entries,) = self._server.read([("XREVRANGE", f"{self._keys.prefix}hook_log", "+", "-")])
        found = [_entry(entry_id, entry) for entry_id, entry in entries if webhook in {"", entry["hook"]}]
        return found[:count]

    def redeliver(self, message: str, *, webhook: str = "") -> int:
        """Send a message again to every webhook that had it, or to one; return the number of webhooks.

        Raises:
            NotFound: No webhook keeps it any more.
        """
        names = [webhook] if webhook else [view.webhook.id for view in self.webhooks()]
        again = sum(int(self._server.run("notify_again", name, message)) for name in names)
        if not again:
            raise NotFound(f"no message {message!r} is kept; `reelmill webhook log` lists the newest")
        return again

    # -- the sender's side ---------------------------------------------------------------------------------------

    def lease(self, holder: str, *, hold_s: float) -> tuple[str, str]:
        """Become or stay the sender; return the token (empty: another is) and the last event dealt with."""
        token, cursor = self._server.run("notify_lease", holder, int(hold_s * 1000))
        return token, cursor

    def trimmed(self, cursor: str) -> bool:
        """Whether events after the cursor may have left the stream before they were sent."""
        (oldest,) = self._server.read([("XRANGE", self._keys.events, "-", "+", "COUNT", 1)])
        return bool(oldest) and cursor != "0-0" and place(oldest[0][0]) > place(cursor)

    def leave(self, token: str) -> None:
        """Let another sender take over."""
        self._server.run("notify_leave", token)

    def post(self, token: str, before: str, after: str, messages: Iterable[tuple[str, Notification]]) -> bool:
        """Add messages for webhooks and move the cursor past their events; False if another sender took over."""
        rows = [text for name, item in messages for text in (name, item.id, item.type, item.body)]
        return bool(self._server.run("notify_post", token, before, after, WAITING_MOST, *rows))

    def due(self, *, most: int) -> list[WebhookMessage]:
        """Return what is due, up to `most` messages per webhook."""
        return [
            WebhookMessage(
                webhook=webhook,
                due=[
                    (Notification(id=rest[at], type=rest[at + 1], body=rest[at + 2]), int(rest[at + 3]))
                    for at in range(0, len(rest), 4)
                ],
            )
            for name, config, *rest in self._server.run("notify_due", most)
            if (webhook := _decoded(name, config)) is not None
        ]

    def ended(self, token: str, webhook: str, message: str, attempt: Attempt) -> bool:
        """Record an attempt; False if another sender took over."""
        return bool(
            self._server.run(
                "notify_ended",
                token,
                webhook,
                message,
                attempt.outcome,
                int(attempt.wait_s * 1000),
                attempt.status,
                kept(attempt.detail),
                int(attempt.took_s * 1000),
                int(DEAD_AFTER_S * 1000),
                "1" if attempt.gone else "0",
            )
        )


def _decoded(name: str, config: str) -> Webhook | None:
    """Return a webhook; None for one that only another version can read, which must not stop the others."""
    try:
        return Webhook.decode(config)
    except InvalidDocument as err:
        log.warning("webhook.unreadable", webhook=name, error=str(err))
        return None


def _there(found: object, name: str) -> None:
    if not found:
        raise NotFound(_MISSING.format(name))


def _entry(entry_id: str, entry: dict[str, str]) -> LogEntry:
    return LogEntry(
        at=int(entry_id.partition("-")[0]) / 1000,
        webhook=entry["hook"],
        message=entry["message"],
        type=entry["type"],
        outcome=entry["outcome"],
        attempt=int(entry["attempt"]),
        status=entry["status"],
        detail=entry["detail"],
        took_s=int(entry["ms"]) / 1000,
    )
