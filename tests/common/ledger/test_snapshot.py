"""The rates in a snapshot of a running farm."""

from __future__ import annotations

import pytest
from redis import Redis

from common.ledger_steps import begin, fail_one, make_result, start_worker, submit
from reelmill_common.ledger import Ledger
from reelmill_common.ledger.keys import Keys

HOUR_MS = 3_600_000


def test_rates_count_the_last_hour_of_the_farm_and_of_each_batch(
    ledger: Ledger, redis_url: str, farm_name: str
) -> None:
    start_worker(ledger)
    submit(ledger, "a", 2)
    for _ in range(2):
        claimed = begin(ledger)
        ledger.attempts.finish(claimed.job_id, claimed.token, make_result())
    submit(ledger, "b", 2)
    fail_one(ledger)
    with Redis.from_url(redis_url) as redis:
        seconds, _ = redis.time()
        old = seconds * 1000 - 2 * HOUR_MS
        redis.hset(f"{Keys(farm_name).prefix}rates", mapping={f"{old // 60_000}:t": old, f"{old // 60_000}:n": 1000})

    snapshot = ledger.overview.snapshot()

    assert snapshot.clips_per_h == pytest.approx(2 * 3600 / snapshot.sample_s)
    assert 0 < snapshot.sample_s < 60
    assert snapshot.failures == 1
    assert [(batch.name, batch.clips_per_h) for batch in snapshot.batches] == [("b", 0.0)]
