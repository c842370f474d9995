from __future__ import annotations

import pytest

from reelmill_common.text.tiny_words import UNNAMED, known_words, unknown_words


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("A big green ball rolls right on a brown floor at dusk.", []),
        ("a red Fox, a fox and the WOLF's den", ["fox", "wolf", "den"]),
        ("with a ball of its own behind our cube", []),
        ("球 над полом", ["球", "над", "полом"]),
        ("", []),
    ],
)
def test_words_that_tiny_did_not_learn_are_found_once_without_stop_words(prompt: str, unknown: list[str]) -> None:
    assert unknown_words(prompt) == unknown


def test_no_word_is_both_known_and_left_unnamed() -> None:
    assert {"ball", "red", "dusk", "bounces"} <= known_words()
    assert UNNAMED & known_words() == set()
