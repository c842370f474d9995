from __future__ import annotations

import pytest

from reelmill_common.jobs import (
    RenderSpec,
)


@pytest.mark.parametrize("frames", [33, 49, 61, 77, 81])
@pytest.mark.parametrize("size", [(832, 480), (832, 448), (448, 832)])
def test_the_shapes_that_the_model_was_trained_with_are_on_the_menu(frames: int, size: tuple[int, int]) -> None:
    spec = RenderSpec(prompt="a fox", frames=frames, width=size[0], height=size[1])

    assert (spec.frames, spec.width, spec.height) == (frames, *size)
