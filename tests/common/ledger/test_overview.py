from __future__ import annotations

from dataclasses import replace

import pytest

from common.ledger_steps import start_worker, submit
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.overview import JOB_BYTES, Memory


def test_the_views_of_the_whole_farm_agree(ledger: Ledger) -> None:
    submit(ledger, "night", 3)
    start_worker(ledger)

    snapshot, backlog = ledger.overview.snapshot(), ledger.overview.backlog()

    assert len(snapshot.batches) == len(backlog.batches) == 1
    assert len(snapshot.workers) == len(backlog.hands) == 1
    assert snapshot.ended_batches == 0


def test_the_memory_of_the_server_is_read(ledger: Ledger) -> None:
    memory = ledger.overview.memory()

    assert memory.used_bytes > 100_000
    assert memory.limit_bytes >= 0


def test_memory_says_when_it_is_full_at_the_present_pace() -> None:
    memory = Memory(used_bytes=3_000_000_000, limit_bytes=4_000_000_000, clips_per_h=10_000)

    assert memory.full_in_s == pytest.approx(1e9 / (10_000 * JOB_BYTES) * 3600)
    assert replace(memory, limit_bytes=0).full_in_s is None
    assert replace(memory, clips_per_h=0).full_in_s is None
    assert replace(memory, used_bytes=5_000_000_000).full_in_s == 0
    assert memory.is_short(0.7)
    assert not memory.is_short(0.8)
    assert not replace(memory, limit_bytes=0).is_short(0.1)
