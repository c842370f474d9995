"""The producer's tests: the command line, a ledger to look into, and a hand that does a worker's part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fixtures.cli import cli  # noqa: F401 - a fixture
from fixtures.hand import Hand
from reelmill_common.ledger import Ledger, side
from reelmill_common.settings import Settings


@pytest.fixture
def ledger(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger to which a worker counts as alive between two beats however slow the machine is."""
    monkeypatch.setattr(side, "LIVE_S", 600.0)
    with Ledger.connect(settings) as ledger:
        yield ledger


@pytest.fixture
def hand(settings: Settings, ledger: Ledger) -> Hand:
    """A worker's part, done by the test. It counts as registered and ready."""
    hand = Hand(settings=settings, ledger=ledger)
    hand.ready()
    return hand
