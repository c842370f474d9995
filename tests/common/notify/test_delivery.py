from __future__ import annotations

import dataclasses

from fixtures.receiver import receiver
from reelmill_common.notify import delivery
from reelmill_common.notify.notification import make_notification
from reelmill_common.notify.webhooks import Webhook
from reelmill_common.settings import Settings


def test_a_receivers_wish_to_be_asked_later_is_followed(settings: Settings) -> None:
    allowed = dataclasses.replace(settings, notify_scheme="http", notify_allow="127.0.0.1")
    notification = make_notification("msg_1", "webhook.test", 0, {})

    with receiver() as busy:
        busy.status, busy.headers = 429, {"retry-after": "1200"}
        ended = delivery.attempt(Webhook.new(busy.url), notification, 0, allowed)

    assert (ended.outcome, ended.wait_s) == ("retry", 1200)
