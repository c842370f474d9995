from __future__ import annotations

from pathlib import Path

import pytest

from reelmill_common.text.tiny_vocabulary import learned
from reelmill_common.text.tokens import TokenCounter
from reelmill_worker.pipeline.checkpoint.weights import ModelFolder
from reelmill_worker.pipeline.prepare import trained_tiny
from reelmill_worker.pipeline.prepare.tiny_model import make_trained_tiny
from reelmill_worker.pipeline.prepare.trained_tiny import WEIGHTS, WEIGHTS_SHA256, trained_parts, weights_sha256


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    make_trained_tiny(folder)
    return folder


def test_the_weights_in_the_package_are_those_that_the_code_names() -> None:
    assert weights_sha256() == WEIGHTS_SHA256


def test_the_profile_of_trained_weights_passes_the_check_of_every_tensor(model: Path) -> None:
    assert len(ModelFolder.open(model).model_hash) == 64


def test_a_word_is_one_token_and_an_unknown_word_is_the_unknown_token(model: Path) -> None:
    vocabulary, _ = trained_parts()
    tokens = TokenCounter.open(model / "tokenizer/tokenizer.json")

    known, unknown, same = tokens.ids("a Red ball"), tokens.ids("a red fox"), tokens.ids("a red wolf")

    assert known == [4 + vocabulary.index(word) for word in ("a", "red", "ball")] + [1]
    assert unknown == same == [*known[:2], 3, 1]


def test_the_weights_take_less_than_8_mb() -> None:
    assert (Path(trained_tiny.__file__).parent / WEIGHTS).stat().st_size < 8_000_000


def test_the_producer_has_the_words_that_the_weights_were_trained_with() -> None:
    vocabulary, _ = trained_parts()

    assert learned() == {word for word in vocabulary if word.isalpha()}
    assert len(learned()) == 109
