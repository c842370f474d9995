"""Connections to Redis of one worker: a server has room for so many, and they are a limit of a large farm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from fixtures.farm import Farm, specs
from reelmill_common.jobs import JobState

pytestmark = pytest.mark.services

MOST = 11
"""Connections of supervisor, parent and child together, while they work."""


def test_a_worker_at_work_takes_few_connections(make_farm: Callable[..., Farm]) -> None:
    farm = make_farm(renderer="fixed:0.1")
    with redis.Redis.from_url(farm.settings.redis_url, decode_responses=True) as client:
        farm.submit("night", specs(6))
        ours = {known["id"] for known in client.client_list()}
        farm.start()

        view = farm.wait_done("night")

        taken = [known for known in client.client_list() if known["id"] not in ours]
    assert view.counts[JobState.SUCCEEDED] == 6
    assert 0 < len(taken) <= MOST, [known["cmd"] for known in taken]
