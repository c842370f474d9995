from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from reelmill_common.errors import PromptTooLong
from reelmill_common.jobs import RenderSpec
from reelmill_common.settings import Settings
from reelmill_producer.prompts.admission import prompt_check

LONG = RenderSpec(prompt=" ".join(["fox"] * 512), profile="tiny")


def test_a_prompt_with_too_many_tokens_is_refused_where_the_tokenizer_is(tiny_model: Path) -> None:
    check = prompt_check(dataclasses.replace(Settings(), model_dir=str(tiny_model)), "tiny")

    check(RenderSpec(prompt="a fox", profile="tiny"))
    with pytest.raises(PromptTooLong, match="513 tokens"):
        check(LONG)


def test_without_a_tokenizer_the_worker_decides(tmp_path: Path) -> None:
    check = prompt_check(dataclasses.replace(Settings(), model_dir=str(tmp_path)), "tiny")

    check(LONG)  # refuses nothing
