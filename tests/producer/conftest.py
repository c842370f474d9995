"""The producer's tests: the command line, and a hand that does a worker's part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.cli import cli  # noqa: F401 - a fixture
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_producer.client import Reelmill


@pytest.fixture
def hand(settings: Settings, ledger: Ledger) -> Hand:
    """A worker's part, done by the test. It counts as registered and ready."""
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    return hand


@pytest.fixture
def client(settings: Settings) -> Iterator[Reelmill]:
    """The SDK, connected to the farm of the test."""
    with Reelmill(settings) as client:
        yield client
