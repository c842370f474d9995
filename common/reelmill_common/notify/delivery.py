"""One attempt to deliver one notification to one receiver, and when the next attempt is due."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.errors import NotDelivered
from reelmill_common.notify import message_text, smtp
from reelmill_common.notify.http_client import post
from reelmill_common.notify.notification import Notification
from reelmill_common.notify.signature import signature
from reelmill_common.notify.webhook_store import Attempt
from reelmill_common.notify.webhooks import ReceiverKind, Webhook
from reelmill_common.settings import Settings
from reelmill_common.text.terminal_text import printable

PAUSES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 28_800.0, 28_800.0)
"""Pauses between attempts: 9 in about 24 hours, as the Standard Webhooks specification suggests."""
JITTER = 0.2
"""Share by which a pause varies, so that what failed together is not retried together."""
_FORMATS: Mapping[ReceiverKind, Callable[[Notification], bytes]] = {
    ReceiverKind.SLACK: message_text.slack,
    ReceiverKind.DISCORD: message_text.discord,
    ReceiverKind.TEAMS: message_text.teams,
}
GONE = 410
"""By the specification: the receiver wants no more messages and is disabled."""


def attempt(webhook: Webhook, notification: Notification, before: int, settings: Settings) -> Attempt:
    """Send a notification once; `before` is the number of failed attempts. What a receiver does never raises."""
    started = time.monotonic()
    try:
        status, detail, asked_s = _send(webhook, notification, settings)
    except NotDelivered as err:
        status, detail, asked_s = "", str(err), 0.0
    detail = printable(webhook.masked(detail))
    took_s = time.monotonic() - started
    if status.startswith("2"):
        return Attempt(outcome="sent", status=status, detail="", took_s=took_s)
    if status.startswith("3"):
        detail = f"redirects are not followed; give the final URL. {detail}"
    if before >= len(PAUSES_S):
        return Attempt(outcome="failed", status=status, detail=detail, took_s=took_s)
    wait_s = max(asked_s, PAUSES_S[before] * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
    gone = status == str(GONE)
    return Attempt(outcome="retry", status=status, detail=detail, took_s=took_s, wait_s=wait_s, gone=gone)


def _send(webhook: Webhook, notification: Notification, settings: Settings) -> tuple[str, str, float]:
    """Return the status, the detail, and the seconds that the receiver asks us to wait."""
    if webhook.kind is ReceiverKind.EMAIL:
        if not settings.smtp_from:
            raise NotDelivered("no sender is set; set REELMILL_SMTP_URL and REELMILL_SMTP_FROM on every worker")
        mail = message_text.mail(notification, settings.smtp_from, webhook.target)
        return smtp.send(settings.smtp_url, mail)[:3], "", 0.0
    ours = {"content-type": "application/json", "user-agent": f"Reelmill/{version('reelmill')}"}
    headers = dict(webhook.headers) | ours
    if webhook.kind in _FORMATS:
        body = _FORMATS[webhook.kind](notification)
    else:
        body, now = notification.body.encode(), int(time.time())
        headers |= {
            "webhook-id": notification.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(webhook.live_secrets, notification.id, now, body),
        }
    egress = EgressPolicy.parse(settings.notify_allow, plain_http=settings.notify_scheme == "http")
    answer = post(webhook.target, headers, body, egress)
    return str(answer.status), answer.body, answer.retry_after_s
