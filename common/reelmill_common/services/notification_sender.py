"""The sender: a thread of every worker's parent. The one that holds the lease tells; the others stand by.

Events become messages together with the step of the cursor, and a message stays until its end is recorded: a sender
that dies loses nothing. What it had sent and not recorded is sent again, with the same id.
"""

from __future__ import annotations

import threading
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
from reelmill_common.settings import Settings

log = structlog.get_logger(__name__)

HOLD_S = 30.0
"""Seconds after which another one sends if the sender is silent."""
SEND_S = 1.0
STAND_BY_S = 5.0
"""Seconds between rounds of the sender, and between looks of those that stand by."""
EVENTS_AT_ONCE = 200
DUE_AT_ONCE = 20
RECEIVERS_AT_ONCE = 8


@dataclass(slots=True, kw_only=True)
class Sender:
    """One process' part in sending.

    Attributes:
        hold_s: As `HOLD_S`.
    """

    settings: Settings
    hold_s: float = HOLD_S
    _holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    _mailroom: WebhookStore | None = None
    _ledger: Ledger | None = None
    _token: str = ""
    _trouble: str = ""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, on a thread of its own: a receiver may be slow."""
        self._thread = threading.Thread(target=self.run, name="notify", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End it; an attempt that is under way then is made again by the next sender."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def run(self) -> None:
        """Send until `stop`."""
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            try:
                pause_s = SEND_S if self.round() else STAND_BY_S
                self._trouble = ""
            except Exception as err:  # noqa: BLE001 - a thread's boundary: it must outlive whatever a server can do
                self._complain(err)
                pause_s = STAND_BY_S
        self._leave()

    def round(self) -> bool:
        """Tell what is due; return whether we are the one who sends."""
        mailroom, ledger = self._connected()
        self._token, cursor = mailroom.lease(self._holder, hold_s=self.hold_s)
        if not self._token:
            return False
        self._collect(mailroom, ledger, cursor)
        due = mailroom.due(most=DUE_AT_ONCE)
        if due:
            self._send(mailroom, due)
        return True

    def _collect(self, mailroom: WebhookStore, ledger: Ledger, cursor: str) -> None:
        """Turn new events into messages."""
        webhooks = [view.webhook for view in mailroom.webhooks() if not view.disabled]
        if mailroom.trimmed(cursor):
            log.warning("notify.events_missed", after=cursor)  # nobody sent for so long that the stream ran over
        events = ledger.events.read(after=cursor, count=EVENTS_AT_ONCE)
        while events and not self._stopping.is_set():
            messages = []
            for event in events:
                told = [webhook.id for webhook in webhooks if webhook.wants(event.name)]
                if told:
                    said = notification_of(ledger, self.settings.farm, event)
                    messages += [(name, said) for name in told]
            if not mailroom.post(self._token, cursor, events[-1].event_id, messages):
                return
            cursor = events[-1].event_id
            token, _ = mailroom.lease(self._holder, hold_s=self.hold_s)
            if token != self._token:
                return
            events = ledger.events.read(after=cursor, count=EVENTS_AT_ONCE)

    def _send(self, mailroom: WebhookStore, posts: list[WebhookMessage]) -> None:
        """Send to several receivers at once, holding the lease for as long as that takes."""
        with ThreadPoolExecutor(RECEIVERS_AT_ONCE, thread_name_prefix="notify") as pool:
            running: set[Future[None]] = {pool.submit(self._serve, mailroom, item, self._token) for item in posts}
            while running:
                done, running = wait(running, timeout=self.hold_s / 3)
                for future in done:
                    future.result()
                mailroom.lease(self._holder, hold_s=self.hold_s)

    def _serve(self, mailroom: WebhookStore, item: WebhookMessage, token: str) -> None:
        """Send one receiver its messages, in order, until one fails."""
        webhook = item.webhook
        for message, before in item.due:
            if self._stopping.is_set():
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
            if not mailroom.ended(token, webhook.id, message.id, ended) or ended.outcome != "sent":
                return

    def _connected(self) -> tuple[WebhookStore, Ledger]:
        if self._mailroom is None or self._ledger is None:
            client = connect(self.settings, Keys(self.settings.farm).prefix)
            self._mailroom = WebhookStore(client, farm=self.settings.farm)
            self._ledger = Ledger(client, farm=self.settings.farm)
        return self._mailroom, self._ledger

    def _leave(self) -> None:
        if self._mailroom is None:
            return
        try:
            if self._token:
                self._mailroom.leave(self._token)
        except (LedgerUnavailable, LedgerRefused) as err:  # the lease runs out instead
            log.warning("notify.leave_failed", error=str(err))
        self._mailroom.close()

    def _complain(self, err: Exception) -> None:
        text = f"{type(err).__name__}: {err}"
        if text != self._trouble:  # once per trouble, not once per round
            log.warning("notify.failed", error=text, exc_info=not isinstance(err, LedgerUnavailable | LedgerRefused))
        self._trouble = text
