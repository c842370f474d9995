"""Sends notifications to webhooks, on a thread of each worker's parent: one holds the lease and sends, the others wait.

Events become messages in the same step that moves the cursor, and a message stays until its outcome is recorded: a
sender that dies loses nothing. What it had sent and not recorded is sent again, with the same id.
"""

from __future__ import annotations

import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import structlog

from reelmill_common.errors import LedgerRefused, LedgerUnavailable
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.keys import Keys
from reelmill_common.ledger.server import connect
from reelmill_common.notify.delivery import attempt
from reelmill_common.notify.notification import notification_of
from reelmill_common.notify.webhook_store import WebhookMessage, WebhookStore
from reelmill_common.services.background import BackgroundThread, ErrorLog
from reelmill_common.settings import Settings

log = structlog.get_logger(__name__)

HOLD_S = 30.0
"""Seconds without a sign of the sender after which another one takes over."""
SEND_S = 1.0
STAND_BY_S = 5.0
"""Seconds between rounds of the one that sends, and of those that wait."""
EVENTS_AT_ONCE = 1000
DUE_AT_ONCE = 50
RECEIVERS_AT_ONCE = 32
"""Receivers that are sent to at the same time. So many slow ones hold up the others, but lose them no message."""


@dataclass(slots=True, kw_only=True)
class Sender:
    """The sender of one process.

    Attributes:
        hold_s: See `HOLD_S`.
        stand_by_s: Seconds between two looks whether nobody sends; longer where something else wakes it.
        shared: Whether it uses the connections that all of its process shares.
    """

    settings: Settings
    hold_s: float = HOLD_S
    stand_by_s: float = STAND_BY_S
    shared: bool = False
    _holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    _webhooks: WebhookStore | None = None
    _ledger: Ledger | None = None
    _token: str = ""
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(RECEIVERS_AT_ONCE, thread_name_prefix="notify")
    )
    _serving: dict[str, Future[None]] = field(default_factory=dict[str, "Future[None]"])
    _errors: ErrorLog = field(default_factory=ErrorLog)
    _thread: BackgroundThread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = BackgroundThread(
            name="notify", work=self._work, at_once=True, on_error=self._log_once, at_end=self._leave
        )

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End it; an attempt that is under way is made again by the next sender."""
        self._thread.close(timeout_s)

    def wake(self) -> None:
        """Check now whether another process sends: none does."""
        self._thread.wake()

    def run(self) -> None:
        """Send on the caller's thread."""
        self._thread.run()

    def round(self) -> bool:
        """Send what is due, and wait for the outcome; return whether this process is the one that sends."""
        if not self._begin():
            return False
        webhooks, _ = self._connected()
        while wait(self._serving.values(), timeout=self.hold_s / 3).not_done:
            webhooks.lease(self._holder, hold_s=self.hold_s)
        self._end_served()
        return True

    def _begin(self) -> bool:
        """Note what is to be sent, and begin to send what is due to receivers that are not being sent to.

        A slow receiver holds up neither the others nor the noting: events leave their stream soon on a large farm.
        """
        self._end_served()
        webhooks, ledger = self._connected()
        self._token, cursor = webhooks.lease(self._holder, hold_s=self.hold_s)
        if not self._token:
            return False
        self._collect(webhooks, ledger, cursor)
        for item in webhooks.due(most=DUE_AT_ONCE):
            if item.webhook.id not in self._serving and not self._thread.closing.is_set():
                served = self._serving[item.webhook.id] = self._pool.submit(self._serve, webhooks, item, self._token)
                if len(item.due) == DUE_AT_ONCE:
                    served.add_done_callback(lambda _: self._thread.wake())
        return True

    def _end_served(self) -> None:
        """Forget the receivers that were sent to; raise what that failed by."""
        ended = [webhook for webhook, served in self._serving.items() if served.done()]
        for served in [self._serving.pop(webhook) for webhook in ended]:
            served.result()

    def _work(self) -> None:
        self._thread.every_s = self.stand_by_s
        if self._begin():
            self._thread.every_s = SEND_S
        self._errors.clear()

    def _collect(self, webhooks: WebhookStore, ledger: Ledger, cursor: str) -> None:
        """Turn new events into messages."""
        receivers = [view.webhook for view in webhooks.webhooks() if not view.disabled]
        if webhooks.trimmed(cursor):
            log.warning(
                "notify.events_missed", after=cursor
            )  # no process sent for so long that the stream dropped events
        events = ledger.events.read(after=cursor, count=EVENTS_AT_ONCE)
        while events and not self._thread.closing.is_set():
            messages = []
            for event in events:
                wanted_by = [webhook.id for webhook in receivers if webhook.wants(event.name)]
                if wanted_by:
                    body = notification_of(ledger, self.settings.farm, event)
                    messages += [(webhook_id, body) for webhook_id in wanted_by]
            if not webhooks.post(self._token, cursor, events[-1].event_id, messages):
                return
            cursor = events[-1].event_id
            token, _ = webhooks.lease(self._holder, hold_s=self.hold_s)
            if token != self._token:
                return
            events = ledger.events.read(after=cursor, count=EVENTS_AT_ONCE)

    def _serve(self, webhooks: WebhookStore, item: WebhookMessage, token: str) -> None:
        """Send one receiver its messages, in order, until one fails."""
        webhook = item.webhook
        for message, before in item.due:
            if self._thread.closing.is_set():
                return
            ended = attempt(webhook, message, before, self.settings)
            level = log.info if ended.outcome == "sent" else log.warning
            level(
                "notice.attempted",
                webhook=webhook.id,
                place=webhook.place,
                message=message.id,
                type=message.type,
                outcome=ended.outcome,
                status=ended.status,
                attempt=before + 1,
                seconds=round(ended.took_s, 3),
            )
            if not webhooks.ended(token, webhook.id, message.id, ended) or ended.outcome != "sent":
                return

    def _connected(self) -> tuple[WebhookStore, Ledger]:
        if self._webhooks is None or self._ledger is None:
            client = connect(self.settings, Keys(self.settings.farm).prefix, shared=self.shared)
            self._webhooks = WebhookStore(client, farm=self.settings.farm)
            self._ledger = Ledger(client, farm=self.settings.farm)
        return self._webhooks, self._ledger

    def _leave(self) -> None:
        if self._webhooks is None:
            return
        try:
            if self._token:
                self._webhooks.leave(self._token)
        except (LedgerUnavailable, LedgerRefused) as err:  # the lease runs out instead
            log.warning("notify.leave_failed", error=str(err))
        self._pool.shutdown(wait=False)
        self._webhooks.close()

    def _log_once(self, err: Exception) -> None:
        text = f"{type(err).__name__}: {err}"
        if self._errors.is_new(text):
            log.warning("notify.failed", error=text, exc_info=not isinstance(err, LedgerUnavailable | LedgerRefused))
