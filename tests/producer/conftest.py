"""The producer's tests: the command line, and a hand that does a worker's part."""

from __future__ import annotations

import pytest

from fixtures.hand import Hand
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.fixture
def hand(settings: Settings, ledger: Ledger) -> Hand:
    """A worker's part, done by the test. It counts as registered and ready."""
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    return hand
