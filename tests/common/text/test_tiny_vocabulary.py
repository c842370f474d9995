from __future__ import annotations

import pytest

from reelmill_common.text.tiny_vocabulary import UNNAMED, learned, unknown_in


@pytest.mark.parametrize(
    ("prompt", "unlearned"),
    [
        ("A big green ball rolls right on a brown floor at dusk.", []),
        ("a red Fox, a fox and the WOLF's den", ["fox", "wolf", "den"]),
        ("with a ball of its own behind our cube", []),
        ("球 над полом", ["球", "над", "полом"]),
        ("", []),
    ],
)
def test_words_that_tiny_did_not_learn_are_found_once_without_stop_words(prompt: str, unlearned: list[str]) -> None:
    assert unknown_in(prompt) == unlearned


def test_no_word_is_both_learned_and_left_unnamed() -> None:
    assert {"ball", "red", "dusk", "bounces"} <= learned()
    assert UNNAMED & learned() == set()
