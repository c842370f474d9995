from __future__ import annotations

import pytest

from reelmill_common.errors import InvalidJob
from reelmill_common.job_fields.whole_numbers import whole_number


@pytest.mark.parametrize("given", [1024, 1024.0, " 1024 ", "+1024", "1024.0", "1,024", "1024,0", "1.024E+03"])
def test_a_number_that_is_whole_beyond_doubt_is_read(given: object) -> None:
    assert whole_number("seed", given) == 1024


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("10.5", "is not a whole number"),
        (True, "is not a whole number"),
        ("1,02", "is not a whole number"),
        ("1E+03", "may have lost digits"),
        (1e300, "has lost digits"),
    ],
)
def test_a_number_that_may_be_another_is_refused(given: object, why: str) -> None:
    with pytest.raises(InvalidJob, match=why):
        whole_number("seed", given)
