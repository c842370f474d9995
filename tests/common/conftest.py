from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.settings import Settings


@pytest.fixture
def webhook_store(settings: Settings) -> Iterator[WebhookStore]:
    with WebhookStore.connect(settings) as webhook_store:
        yield webhook_store
