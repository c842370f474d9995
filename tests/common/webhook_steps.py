"""Steps for the tests of webhooks: a receiver, something that happens, what became of it."""

from __future__ import annotations

from reelmill_common.jobs import Batch, RenderJob, RenderSpec
from reelmill_common.ledger import Ledger
from reelmill_common.notify.webhook_store import LogEntry, WebhookStore
from reelmill_common.notify.webhooks import ReceiverKind, Webhook


def add(webhook_store: WebhookStore, url: str, *events: str, kind: ReceiverKind = ReceiverKind.STANDARD) -> Webhook:
    """Add a receiver."""
    webhook = Webhook.new(url, kind=kind, events=events)
    webhook_store.add(webhook)
    return webhook


def happen(ledger: Ledger, *batches: str) -> None:
    """Let something happen: each batch is one `batch.submitted`."""
    for batch in batches:
        ledger.batches.submit(Batch(name=batch), [RenderJob(batch=batch, row="0", spec=RenderSpec(prompt="fox"))])


def last(webhook_store: WebhookStore) -> LogEntry:
    """Return what became of the last attempt."""
    return webhook_store.log(count=1)[0]
