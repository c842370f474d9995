from __future__ import annotations

from common.webhook_steps import add, happen
from fixtures.valkey import wait_for
from reelmill_common.ledger import Ledger
from reelmill_common.notify import delivery
from reelmill_common.notify.webhook_store import WebhookStore


def test_only_one_of_two_senders_sends_and_a_late_one_writes_nothing(
    webhook_store: WebhookStore, ledger: Ledger
) -> None:
    webhook = add(webhook_store, "https://example.org/hook", "batch.*")
    happen(ledger, "night")
    late, _ = webhook_store.lease("late", hold_s=600)
    standing_by, _ = webhook_store.lease("other", hold_s=30)
    webhook_store.lease("late", hold_s=0.05)
    token = wait_for(lambda: webhook_store.lease("next", hold_s=30)[0], what="the lease runs out")

    written = webhook_store.post(late, "0-0", "1-0", [])
    recorded = webhook_store.ended(
        late, webhook.id, "msg_1", delivery.Attempt(outcome="sent", status="", detail="", took_s=0)
    )

    assert (standing_by, written, recorded) == ("", False, False)
    assert int(token) > int(late)
