from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reelmill_common.jobs import check_name
from reelmill_common.text.names import slug


@given(st.text(max_size=100))
def test_a_slug_is_always_a_usable_name(text: str) -> None:
    check_name("batch", slug(text))
