"""Cursors: handed back as they were made, or refused."""

from __future__ import annotations

import pytest

from reelmill_producer.web.cursors import cursor, place_in
from reelmill_producer.web.problems import Refusal


def test_a_cursor_has_the_place_that_it_was_made_of() -> None:
    assert place_in(cursor(-1.5, "night"), float, str) == [-1.5, "night"]
    assert place_in(cursor(3), int) == [3]


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 401, cursor("3"), cursor(3, 4), cursor(True), "W1tbW1tbW1s"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        place_in(text, int)

    assert refused.value.status_code == 422
