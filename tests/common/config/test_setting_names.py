from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings


def test_an_unknown_variable_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSettings, match=r"REELMILL_FRAM is unknown; known are .*REELMILL_FARM"):
        Settings.from_env({"REELMILL_FRAM": "main"})


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("REELMILL_LEASE", "REELMILL_LEASE is unknown; known are [0-9]+ names; did you mean REELMILL_LEASE_S?"),
        ("REELMILL_REDISURL", "did you mean REELMILL_REDIS_URL?"),
        ("REELMIL_REDIS_URL", "REELMIL_REDIS_URL is not read; did you mean REELMILL_REDIS_URL?"),
        ("reelmill_store_url", "did you mean REELMILL_STORE_URL?"),
        ("REEL_MILL_FARM", "did you mean REELMILL_FARM?"),
        ("RELLMILL_STATE_DIR", "did you mean REELMILL_STATE_DIR?"),
    ],
)
def test_a_mistyped_variable_is_answered_with_the_one_that_may_be_meant(variable: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said.replace("?", r"\?")) as caught:
        Settings.from_env({variable: "hunter2"})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("variable", ["REALM_FARM", "REDIS_URL", "MILL_FARM", "REELS_FARM", "REELMILL", "PATH", "farm"])
def test_a_variable_of_somebody_else_is_left_alone(variable: str) -> None:
    assert Settings.from_env({variable: "x"}) == Settings()
