"""Which transformers are computed here, by their config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint.transformer_config import TransformerConfig


@pytest.fixture
def config(tiny_model: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((tiny_model / "transformer" / "config.json").read_text())
    return read


def test_a_token_has_the_channels_of_all_heads(config: dict[str, Any]) -> None:
    sizes = TransformerConfig.read(config)

    assert (sizes.num_attention_heads, sizes.attention_head_dim, sizes.dim) == (2, 128, 256)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_layers": "two"}, "num_layers=two; wanted a whole number, 1 to 128"),
        ({"patch_size": 2}, r"patch_size=2; only \[1, 2, 2\] is supported"),
        ({"eps": "x"}, "eps=x; wanted a number between 0 and 1"),
        ({"freq_dim": 7}, "an odd attention_head_dim or freq_dim"),
        ({"in_channels": 48}, r"in_channels=48; only 16 is supported: .*Wan 2\.2 TI2V"),
    ],
)
def test_a_transformer_of_another_kind_is_refused(values: dict[str, Any], message: str, config: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel, match=message):
        TransformerConfig.read(config | values)


def test_a_size_that_is_missing_is_named(config: dict[str, Any]) -> None:
    del config["ffn_dim"]

    with pytest.raises(InvalidModel, match="has no 'ffn_dim'"):
        TransformerConfig.read(config)
