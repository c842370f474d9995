from pathlib import Path

import pytest
from transformers import AutoTokenizer

from reelmill_common.errors import InvalidModel, PromptTooLong
from reelmill_common.text.tokens import TokenCounter


@pytest.fixture(scope="module")
def tokens(tiny_model: Path) -> TokenCounter:
    return TokenCounter.open(tiny_model / "tokenizer" / "tokenizer.json")


@pytest.mark.parametrize(
    "prompt",
    ["a red fox trots through fresh snow", "Überraschung: 狐 und 🦊!", "x", "zzz qqq 0123 #&%", "日本語の文章"],
)
def test_ids_are_those_of_the_transformers_tokenizer(prompt: str, tokens: TokenCounter, tiny_model: Path) -> None:
    reference = AutoTokenizer.from_pretrained(tiny_model / "tokenizer")

    assert tokens.ids(prompt) == reference(prompt)["input_ids"]
    assert tokens.count(prompt) == len(reference(prompt)["input_ids"])


def test_padding_is_token_0_and_the_end_mark_is_token_1(tokens: TokenCounter, tiny_model: Path) -> None:
    reference = AutoTokenizer.from_pretrained(tiny_model / "tokenizer")

    assert (reference.pad_token_id, reference.eos_token_id) == (0, 1)
    assert tokens.ids("fox")[-1] == 1


def test_a_prompt_of_512_tokens_fits_and_one_more_is_refused_with_the_place_of_the_cut(tokens: TokenCounter) -> None:
    fits = " ".join(["fox"] * 511)
    too_long = fits + " lantern"

    assert len(tokens.ids(fits)) == 512
    with pytest.raises(
        PromptTooLong, match=r"has 513 tokens.*takes 512.*cut after '.*fox fox' \(character 2043 of 2051"
    ):
        tokens.ids(too_long)


def test_counting_does_not_refuse(tokens: TokenCounter) -> None:
    assert tokens.count("fox " * 600) == 602


def test_a_missing_tokenizer_file_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"tokenizer.json is missing; a fast tokenizer is needed"):
        TokenCounter.open(tmp_path / "tokenizer.json")


def test_a_damaged_tokenizer_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')

    with pytest.raises(InvalidModel, match="is not a tokenizer file"):
        TokenCounter.open(tmp_path / "tokenizer.json")
