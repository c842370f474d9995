from __future__ import annotations

import pytest

from reelmill_common.contract import class_of, lane_name, profile_of, queue_name


@pytest.mark.parametrize(("worker_class", "lane"), [("", "tiny"), ("h200", "tiny@h200")])
def test_a_lane_is_a_profile_and_perhaps_a_class(worker_class: str, lane: str) -> None:
    assert lane_name("tiny", worker_class) == lane
    assert (profile_of(lane), class_of(lane)) == ("tiny", worker_class)


def test_each_farm_and_lane_has_a_queue_of_its_own() -> None:
    queues = {queue_name(farm, lane) for farm in ("main", "test") for lane in ("tiny", "tiny@h200")}

    assert len(queues) == 4
