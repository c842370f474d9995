from __future__ import annotations

from common.ledger_scene import begin, start_worker, submit
from reelmill_common.ledger import Ledger


def test_silent_workers_are_forgotten_but_not_what_they_hold(ledger: Ledger) -> None:
    start_worker(ledger, "gpu0@gone")
    ledger.workers.quarantine("gpu0@gone", "the canary is black")
    start_worker(ledger)
    submit(ledger, "night", 1)
    begin(ledger)

    assert ledger.retention.prune_workers(3600) == []
    assert ledger.retention.prune_workers(-1) == ["gpu0@gone"]
    assert [worker.name for worker in ledger.workers.all()] == ["gpu0@test"]
