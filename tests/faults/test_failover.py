"""Another Redis takes over in mid-batch: real workers, Valkey with a replica, real Sentinels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.farm import Farm, specs
from fixtures.replicas import Replicated
from reelmill_common.jobs import JobState

pytestmark = pytest.mark.services


def test_a_primary_killed_under_sentinel_costs_no_clip_and_no_worker(
    make_farm: Callable[..., Farm], watched: Replicated
) -> None:
    farm = make_farm(renderer="fixed:0.1", redis_url=watched.url)
    worker = farm.start()
    jobs = farm.submit("night", specs(40))
    farm.wait_count("night", JobState.SUCCEEDED, 5)
    before = watched.primary

    before.kill()
    watched.wait_promoted(before)
    view = farm.wait_done("night")

    assert view.counts[JobState.SUCCEEDED] == 40
    farm.assert_stored_once("night", jobs)
    assert len(worker.events("parent.started")) == 1  # the model stayed loaded
    before.start(follows=watched.primary.port)
    watched.wait_in_step()
