"""A ledger on a farm of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.connect(settings) as ledger:
        yield ledger
