"""The sentences about what keeps work waiting."""

from __future__ import annotations

from reelmill_common.ledger import Ledger, WorkerInfo
from reelmill_producer.analysis.why import obstacle
from reelmill_producer.client import Reelmill


def test_an_obstacle_is_named(client: Reelmill, ledger: Ledger) -> None:
    client.submit("a fox", batch="sdk")
    nobody = obstacle(client, "sdk")
    coming = obstacle(client, "sdk", coming="tiny")
    ledger.workers.register("cpu0@test", "tiny", WorkerInfo())
    starting = obstacle(client, "sdk")
    ledger.workers.quarantine("cpu0@test", "the canary came out black")
    unfit = obstacle(client, "sdk")
    client.pause("sdk")
    paused = obstacle(client, "sdk")

    assert nobody == "no worker is ready for lane tiny; start one with `reelmill worker --profile tiny`"
    assert coming == starting == "a worker for lane tiny is starting"
    assert "quarantined: the canary came out black" in unfit
    assert "batch sdk is paused; `reelmill resume sdk`" in paused
