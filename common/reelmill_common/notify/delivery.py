"""One attempt to tell one receiver of one notice, and when the next one is due."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from reelmill_common.config.egress import EgressPolicy
from reelmill_common.errors import NotDelivered
from reelmill_common.notify import formatting, smtp
from reelmill_common.notify.http_client import post
from reelmill_common.notify.notification import Notification
from reelmill_common.notify.signing import signature
from reelmill_common.notify.webhook_store import Attempt
from reelmill_common.notify.webhooks import ReceiverKind, Webhook
from reelmill_common.settings import Settings
from reelmill_common.text.terminal_text import printable

PAUSES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 28_800.0, 28_800.0)
"""Between attempts: 9 in about 24 hours, as the Standard Webhooks specification suggests."""
JITTER = 0.2
"""Share by which a pause is longer or shorter, so that what failed together does not come back together."""
_WORDINGS: Mapping[ReceiverKind, Callable[[Notification], bytes]] = {
    ReceiverKind.SLACK: formatting.slack,
    ReceiverKind.DISCORD: formatting.discord,
    ReceiverKind.TEAMS: formatting.teams,
}
GONE = 410
"""The specification: the receiver wants nothing more, disable it."""


def attempt(webhook: Webhook, notice: Notification, before: int, settings: Settings) -> Attempt:
    """Send a notice once; `before` is the number of attempts that failed. Never raises for what a receiver does."""
    started = time.monotonic()
    try:
        status, detail, asked_s = _send(webhook, notice, settings)
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


def _send(webhook: Webhook, notice: Notification, settings: Settings) -> tuple[str, str, float]:
    """Return status, detail, and the seconds that the receiver asked us to wait."""
    if webhook.kind is ReceiverKind.EMAIL:
        if not settings.smtp_from:
            raise NotDelivered("no sender is set; set REELMILL_SMTP_URL and REELMILL_SMTP_FROM on every worker")
        mail = formatting.mail(notice, settings.smtp_from, webhook.target)
        return smtp.send(settings.smtp_url, mail)[:3], "", 0.0
    ours = {"content-type": "application/json", "user-agent": f"Reelmill/{version('reelmill')}"}
    headers = dict(webhook.headers) | ours
    if webhook.kind in _WORDINGS:
        body = _WORDINGS[webhook.kind](notice)
    else:
        body, now = notice.body.encode(), int(time.time())
        headers |= {
            "webhook-id": notice.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(webhook.live_secrets, notice.id, now, body),
        }
    doorman = EgressPolicy.parse(settings.notify_allow, plain_http=settings.notify_scheme == "http")
    answer = post(webhook.target, headers, body, doorman)
    return str(answer.status), answer.body, answer.retry_after_s
