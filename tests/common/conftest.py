"""A ledger on a farm of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelmill_common.ledger import Ledger, side
from reelmill_common.settings import Settings


@pytest.fixture
def ledger(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger to which a worker counts as alive between two beats however slow the machine is."""
    monkeypatch.setattr(side, "LIVE_S", 600.0)
    with Ledger.connect(settings) as ledger:
        yield ledger
