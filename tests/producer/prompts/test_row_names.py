"""Names of rows without an id: their prompt, what is unusual, and the seed."""

from __future__ import annotations

import pytest

from reelmill_common.jobs import RenderSpec
from reelmill_producer.prompts.row_names import row_name


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (RenderSpec(prompt="the red fox", profile="tiny"), "red-fox-s1024"),
        (RenderSpec(prompt="a fox", frames=9, seed=7, decoder="wan", profile="tiny"), "fox-9f-wan-s7"),
        (RenderSpec(prompt="...", profile="tiny"), "clip-s1024"),
    ],
)
def test_a_row_is_named_after_what_it_shows(spec: RenderSpec, name: str) -> None:
    assert row_name(spec) == name
