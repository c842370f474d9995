from __future__ import annotations

import pytest

from reelmill_common.text.suggestions import did_you_mean, nearest


@pytest.mark.parametrize(("name", "meant"), [("nihgt", "night"), ("NIGHT", "night"), ("zebra", ""), ("", "")])
def test_the_known_name_that_was_probably_meant_is_found(name: str, meant: str) -> None:
    assert nearest(name, ["day", "night"]) == meant
    assert did_you_mean(name, ["day", "night"]) == (f"did you mean {meant!r}? " if meant else "")
