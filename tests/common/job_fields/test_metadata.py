"""Metadata in the ledger that is damaged, or is not ours, holds no job back."""

from __future__ import annotations

import pytest
import redis

from common.ledger_steps import LANE, claim, start_worker, submit
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings


@pytest.mark.parametrize(
    "kept", ["[" * 5000, "no JSON", "[1]", '{"x": "\\ud800"}'], ids=["deep", "none", "list", "half"]
)
def test_a_job_whose_metadata_cannot_be_read_is_shown_and_claimed_without(
    ledger: Ledger, settings: Settings, kept: str
) -> None:
    start_worker(ledger)
    (job_id,) = submit(ledger, "night", 1)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(f"reelmill:{{{settings.farm}}}:meta:{job_id}", kept)

    shown = ledger.jobs.get(job_id)
    claimed = claim(ledger, ledger.dispatch.pump(LANE, depth=1)[0])

    assert (dict(shown.metadata), dict(claimed.metadata)) == ({}, {})
