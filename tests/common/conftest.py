from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.report_steps import EVIL, finish, submit
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger
from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.settings import Settings


@pytest.fixture
def webhook_store(settings: Settings) -> Iterator[WebhookStore]:
    with WebhookStore.connect(settings) as webhook_store:
        yield webhook_store


@pytest.fixture
def night(ledger: Ledger, hand: Hand) -> Ledger:
    """Two clips, two failures of one cause and one of another."""
    submit(ledger, ["a fox", EVIL, "an owl", "a cat", "a dog"])
    finish(hand, {"denoise": 1.0, "decode": 0.5, "mux": 3.0})
    finish(hand, {"denoise": 2.0, "decode": 0.5, "upload": 1.0})
    hand.fail(hand.claim(), "bad_output", "all frames are black")
    hand.fail(hand.claim(), "bad_output", "all frames are equal")
    hand.fail(hand.claim(), "prompt_too_long", EVIL)
    return ledger
