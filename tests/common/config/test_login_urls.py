from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidSettings
from reelmill_common.settings import Settings


def test_a_wrong_url_is_not_repeated_since_it_may_hold_a_password() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({"REELMILL_REDIS_URL": "http://:hunter2@farm"})

    assert "hunter2" not in str(caught.value)
