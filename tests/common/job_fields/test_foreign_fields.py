from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.foreign_fields import check_foreign_fields


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"negative_prompt": "blur"}, "negative_prompt='blur': a distilled model renders without"),
        ({"guidance_scale": 7.5}, "guidance_scale='7.5'"),
        ({"steps": "30"}, "distilled for 3 steps"),
        ({"num_videos": 4}, "a job is one clip"),
    ],
)
def test_a_field_that_the_model_cannot_follow_is_refused_with_the_reason(values: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidJob, match=f"not possible here: .*{why}.* Leave them out"):
        check_foreign_fields(values)


def test_a_field_that_asks_for_what_the_model_does_anyway_is_taken() -> None:
    asked = {"negative_prompt": " ", "guidance_scale": "1.0", "steps": 3, "num_videos": 1, "weather": "rain"}

    assert check_foreign_fields(asked) is None
