from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelmill_common.notify.webhook_store import WebhookStore
from reelmill_common.settings import Settings


@pytest.fixture
def mailroom(settings: Settings) -> Iterator[WebhookStore]:
    with WebhookStore.connect(settings) as mailroom:
        yield mailroom
