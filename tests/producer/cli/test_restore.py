from __future__ import annotations

import json

import redis

from common.ledger_steps import end_batch
from fixtures.cli import program
from reelmill_common.archive import archive
from reelmill_common.ledger import Ledger
from reelmill_common.settings import Settings
from reelmill_common.storage import open_store


def test_a_lost_batch_is_back_and_what_is_lost_is_said(ledger: Ledger, settings: Settings) -> None:
    ids = end_batch(ledger, "night", 3)
    archive(ledger, open_store(settings), "night")
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter(f"reelmill:{{{settings.farm}}}:*"):
            client.delete(key)

    ran = program("restore", "--json", env=settings.to_env())

    assert (ran.status, json.loads(ran.out)["batches"]) == (0, ["night"]), ran.err
    assert "lost: webhooks" in ran.err
    assert [job.job_id for job in ledger.jobs.every("night")] == ids
