"""A tokenizer that takes any text, of the kind that UMT5 has."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from reelmill_worker.pipeline.prepare.tiny_tokenizer import SPECIAL, write_tokenizer


@pytest.mark.parametrize("text", ["a red fox", "Überraschung: 狐!", "🦊\n\t", "x" * 300])
def test_any_text_comes_back_from_its_tokens(text: str, tmp_path: Path) -> None:
    size = write_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    ids = tokenizer(text)["input_ids"]

    assert ids[-1] == SPECIAL.index("</s>")
    assert max(ids) < size
    assert SPECIAL.index("<unk>") not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.strip()
