"""A server that comes back with an older state, as after a power cut or a late replica's promotion: real workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from fixtures.farm import Farm, specs
from fixtures.valkey import wait_for
from reelmill_common.jobs import JobState
from reelmill_producer.embedded.valkey import ValkeyServer

pytestmark = pytest.mark.services

FORGOTTEN = 6
"""Clips whose publication the server forgets, and for most of them the claim too."""


def roll_back(farm: Farm, server: ValkeyServer) -> ValkeyServer:
    """Copy what is on the server's disk, let some clips more be published, kill it, and start it from the copy."""
    copy = server.folder.with_name("copy")
    shutil.copytree(server.folder, copy)
    farm.wait_count(
        "night", JobState.SUCCEEDED, farm.ledger.batches.get("night").counts[JobState.SUCCEEDED] + FORGOTTEN
    )
    server.kill()
    shutil.rmtree(server.folder)
    copy.rename(server.folder)
    return ValkeyServer.start(server.folder, port=server.port)


def test_a_server_that_forgets_its_last_second_publishes_nothing_twice_and_loses_nothing(
    make_farm: Callable[..., Farm], own_valkey: ValkeyServer
) -> None:
    farm = make_farm(renderer="fixed:0.05", redis_url=own_valkey.url, lease_s=4.0, tick_s=0.3)
    farm.start_all(2)
    jobs = farm.submit("night", specs(60))
    server = own_valkey
    try:
        for count in (8, 24):
            farm.wait_count("night", JobState.SUCCEEDED, count)
            server = roll_back(farm, server)
        view = farm.wait_done("night")

        assert view.counts[JobState.SUCCEEDED] == 60
        wait_for(lambda: len(list(farm.store.list("night/"))) == 3 * len(jobs), what="the losers have cleared up")
        farm.assert_stored_once("night", jobs)
    finally:
        for worker in farm.workers:
            worker.kill()
        server.stop()
