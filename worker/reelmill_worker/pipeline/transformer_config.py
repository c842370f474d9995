"""The transformer's sizes, read from its config.json and checked: nothing about a model is hard-coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reelmill_common.errors import InvalidModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Sizes of a Wan 2.1 text-to-video transformer, named as in diffusers' `WanTransformer3DModel`."""

    patch_size: tuple[int, int, int]
    num_attention_heads: int
    attention_head_dim: int
    in_channels: int
    out_channels: int
    text_dim: int
    freq_dim: int
    ffn_dim: int
    num_layers: int
    eps: float

    @property
    def dim(self) -> int:
        """Channels of a token: all heads together."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> TransformerConfig:
        """Read a config.json.

        Raises:
            InvalidModel: A size is missing, or the model is of a kind that this transformer does not compute.
        """
        for name, wanted in _ONLY.items():
            if config.get(name, wanted) != wanted:
                raise InvalidModel(f"transformer config has {name}={config[name]!r}; only {wanted!r} is supported")
        try:
            values = {name: config[name] for name in cls.__slots__}
        except KeyError as err:
            raise InvalidModel(f"transformer config has no {err.args[0]!r}; use the model's own config.json") from err
        values["patch_size"] = tuple(values["patch_size"])
        return cls(**values)


_ONLY: dict[str, Any] = {
    "qk_norm": "rms_norm_across_heads",
    "cross_attn_norm": True,
    "image_dim": None,
    "added_kv_proj_dim": None,
}
"""What makes a Wan model a text-to-video one of the 2.1 family."""
