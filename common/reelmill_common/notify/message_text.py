"""The text of a notification for people: as a mail, or as a message for Slack, Discord or Teams."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from reelmill_common.notify.notification import Notification

MOST_DISCORD_CHARS = 2000
_LINES = {
    "batch.finished": "Batch {batch} is done",
    "batch.paused": "Batch {batch} is paused",
    "batch.stuck": "Batch {batch} waits for a batch that did not succeed",
    "batch.expired": "Batch {batch} has expired",
    "job.failed": "Job {job_id} of batch {batch} failed",
    "worker.quarantined": "Worker {worker} is under quarantine",
    "worker.lost": "Worker {worker} is lost",
    "schedule.failed": "A run of schedule {schedule} failed",
    "schedule.missed": "Schedule {schedule} missed a run",
    "webhook.disabled": "Webhook {webhook} is disabled",
}
_ENDED = {
    "succeeded": "has succeeded",
    "failed": "has ended: some clips failed",
    "cancelled": "has ended: some clips were cancelled",
}
_SHOWN_APART = {
    "outcome",
    "farm",
    "event_id",
    "batch",
    "job_id",
    "worker",
    "counts",
    "failures",
    "failures_read",
    "total",
    "retry",
}


def headline(notification: Notification) -> str:
    """Return a notification in one line."""
    data = notification.data
    if notification.type == "batch.finished" and data.get("outcome"):
        return f"[{data.get('farm', '')}] Batch {data.get('batch', '')} {_ENDED.get(data['outcome'], data['outcome'])}"
    line = _LINES.get(notification.type, notification.type).format_map(_Blank(data))
    if notification.type not in _LINES:
        line = " ".join([line, *(str(data[key]) for key in ("batch", "job_id", "worker") if data.get(key))])
    return f"[{data.get('farm', '')}] {line}"


def lines(notification: Notification) -> list[str]:
    """Return the details of a notification, one line each."""
    data = notification.data
    found: list[str] = []
    if "counts" in data:
        counts = ", ".join(f"{count:,} {state}" for state, count in data["counts"].items() if count)
        found.append(f"{data['total']:,} clips: {counts}")
    found += [f"{item['count']:,} of {item['code']}: {item['message']}" for item in data.get("failures", ())]
    if data.get("retry"):
        found.append(f"try them again: {data['retry']}")
    found += [f"{key}: {value}" for key, value in data.items() if key not in _SHOWN_APART and value not in (None, "")]
    return found


def slack(notification: Notification) -> bytes:
    """Return a notification as the JSON of a Slack incoming webhook; Mattermost and others read it too."""
    title, *rest = (_escaped(line) for line in (headline(notification), *lines(notification)))
    return json.dumps({"text": "\n".join([f"*{title}*", *rest])}, ensure_ascii=False).encode()


def discord(notification: Notification) -> bytes:
    """Return a notification as the JSON of a Discord webhook: no mention, no link or line of untrusted text."""
    title, *rest = (_markdown(line) for line in (headline(notification), *lines(notification)))
    text = "\n".join([f"**{title}**", *rest])
    content = text if len(text) <= MOST_DISCORD_CHARS else f"{text[: MOST_DISCORD_CHARS - 2]}…"
    return json.dumps({"content": content, "allowed_mentions": {"parse": []}}, ensure_ascii=False).encode()


def teams(notification: Notification) -> bytes:
    """Return a notification as the JSON of a Microsoft Teams workflow webhook: an adaptive card of plain text."""
    title, *rest = (headline(notification), *lines(notification))
    runs = [
        {"type": "TextRun", "text": title, "weight": "Bolder"},
        *({"type": "TextRun", "text": text} for text in rest),
    ]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": [run]} for run in runs],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return json.dumps({"type": "message", "attachments": [attachment]}, ensure_ascii=False).encode()


def mail(notification: Notification, sender: str, to: str) -> EmailMessage:
    """Return a notification as a mail. Its `Message-ID` is the same at each attempt."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = " ".join(headline(notification).split())[:200]  # no line of ours can begin a header
    message["Message-ID"] = f"<{notification.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Date"] = formatdate(localtime=False)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        "\n".join([headline(notification), "", *lines(notification), "", f"event: {notification.type}"]) + "\n"
    )
    return message


def _markdown(text: str) -> str:
    # https://discord.com/developers/docs/reference#message-formatting
    return re.sub(r"([\\`*_~|<>\[\]()#@:-])", r"\\\1", " ".join(text.split()))


def _escaped(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text#escaping
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Blank(dict[str, Any]):
    """Fields of a notification; one that it lacks is empty."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data)

    def __missing__(self, key: str) -> str:
        return ""
