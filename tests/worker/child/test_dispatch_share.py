from __future__ import annotations

import pytest

from reelmill_worker.child.dispatch_share import DispatchShare


@pytest.mark.parametrize(
    ("workers", "calls"),
    [
        pytest.param(1, 60, id="a worker alone at each clip"),
        pytest.param(63, 60, id="a few too"),
        pytest.param(100, 20, id="a hundred at each third"),
        pytest.param(3000, 15, id="thousands at each fourth"),
    ],
)
def test_the_more_workers_there_are_the_fewer_calls_each_makes(workers: int, calls: int) -> None:
    made: list[None] = []
    share = DispatchShare(wake=lambda: made.append(None), workers=lambda: workers)

    for _ in range(60):
        share.clip()

    assert len(made) == calls
