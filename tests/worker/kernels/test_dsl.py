from __future__ import annotations

import pytest

from reelmill_worker.kernels.dsl import pieces


@pytest.mark.parametrize(("columns", "split"), [(1536, (1024, 512)), (8960, (8192, 1024)), (64, (32, 32)), (3, (2, 1))])
def test_a_row_is_two_powers_of_two_that_cover_it(columns: int, split: tuple[int, int]) -> None:
    assert pieces(columns) == split
