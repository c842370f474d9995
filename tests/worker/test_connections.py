"""Connections to Redis of one worker: a server has room for so many, and they are a limit of a large farm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from fixtures.cli import Cli
from fixtures.farm import Farm, RunningWorker, specs
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_common.ledger.connections import A_WORKER
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services


def test_a_worker_at_work_takes_few_connections(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.1", ahead="on")
    with redis.Redis.from_url(farm.settings.redis_url, decode_responses=True) as client:
        farm.submit("night", specs(6))
        ours = {known["id"] for known in client.client_list()}
        farm.start()
        seen: set[str] = set()

        def ended() -> bool:
            seen.update(known["id"] for known in client.client_list() if known["id"] not in ours)
            return not farm.ledger.batches.get("night").remaining

        wait_for(ended, what="six clips")

        taken = [known for known in client.client_list() if known["id"] not in ours]
    assert farm.ledger.batches.get("night").counts[JobState.SUCCEEDED] == 6
    assert 4 <= len(taken) <= A_WORKER, [known["cmd"] for known in taken]
    assert len(seen) <= 2 * A_WORKER, "some are opened and closed all the time"


def test_a_server_without_a_free_connection_loses_nothing_and_says_so(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer, cli: Cli
) -> None:
    farm = make_farm(renderer="fixed:0.2", redis_url=own_valkey.url)
    with redis.Redis.from_url(own_valkey.url, decode_responses=True) as admin:
        job_ids = farm.submit("night", specs(12))
        first = farm.start()
        farm.wait_count("night", JobState.SUCCEEDED, 1)

        admin.config_set("maxclients", admin.info("clients")["connected_clients"])
        refused = cli("status", env=farm.settings.to_env())
        second = farm.start(ready=False)
        wait_for(lambda: says(second, "no free connection"), what="a worker that waits")
        farm.wait_done("night")
        admin.config_set("maxclients", 1000)
        farm.wait_ready(second)

    assert refused.status == 75
    assert "has no free connection: all of its maxclients are taken" in refused.err
    assert farm.ledger.batches.get("night").counts[JobState.SUCCEEDED] == 12
    farm.assert_stored_once("night", job_ids)
    assert first.process.poll() is None
    assert not says(first, "Start it")


def says(worker: RunningWorker, text: str) -> bool:
    return text in worker.log.read_text(errors="replace")
