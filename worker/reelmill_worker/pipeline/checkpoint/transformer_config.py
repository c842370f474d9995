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
        for name, (wanted, kind) in _ONLY.items():
            if config.get(name, wanted) != wanted:
                raise InvalidModel(
                    f"transformer config has {name}={str(config[name])[:40]}; only {wanted} is supported: {kind}"
                )
        try:
            values = {name: config[name] for name in cls.__slots__}
        except KeyError as err:
            raise InvalidModel(f"transformer config has no {err.args[0]!r}; use the model's own config.json") from err
        _check_sizes(values)
        values["patch_size"] = tuple(values["patch_size"])
        return cls(**values)


def _check_sizes(values: Mapping[str, Any]) -> None:
    for name, most in _MOST.items():
        got = values[name]
        if type(got) is not int or not 1 <= got <= most:
            raise InvalidModel(f"transformer config has {name}={str(got)[:40]}; wanted a whole number, 1 to {most}")
    if values["attention_head_dim"] % 2 or values["freq_dim"] % 2:
        raise InvalidModel("transformer config has an odd attention_head_dim or freq_dim; both are split in halves")
    patch, eps = values["patch_size"], values["eps"]
    if not isinstance(patch, list | tuple) or list(patch) != [1, 2, 2]:
        raise InvalidModel(f"transformer config has patch_size={str(patch)[:40]}; only [1, 2, 2] is supported")
    if not isinstance(eps, float) or not 0 < eps < 1:
        raise InvalidModel(f"transformer config has eps={str(eps)[:40]}; wanted a number between 0 and 1")


_ONLY: dict[str, tuple[Any, str]] = {
    "qk_norm": ("rms_norm_across_heads", "other norms are of another family"),
    "cross_attn_norm": (True, "other norms are of another family"),
    "image_dim": (None, "image-to-video models have it"),
    "added_kv_proj_dim": (None, "image-to-video models have it"),
    "pos_embed_seq_len": (None, "first-and-last-frame models have it"),
    "in_channels": (16, "36 is image-to-video or inpainting, 48 is Wan 2.2 TI2V"),
    "out_channels": (16, "48 is Wan 2.2 TI2V"),
}
"""What makes a Wan model a text-to-video one of the 2.1 family."""
_MOST = {
    "num_layers": 128,
    "num_attention_heads": 128,
    "attention_head_dim": 1024,
    "ffn_dim": 131_072,
    "text_dim": 32_768,
    "freq_dim": 8192,
}
"""Far above every model of the family: a configuration beyond is damaged or hostile, and would take hours to build."""
