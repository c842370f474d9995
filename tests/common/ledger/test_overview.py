from __future__ import annotations

from common.ledger_steps import start_worker, submit
from reelmill_common.ledger import Ledger


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
