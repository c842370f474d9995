"""The producer's tests use the SDK, connected to the farm of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill


@pytest.fixture
def client(settings: Settings) -> Iterator[Reelmill]:
    with Reelmill(settings) as client:
        yield client
