"""Models of diffusers' and transformers' classes without their weights: what a config says there must be.

The libraries are untyped, so no other module imports them for this.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout

MOST_REPEATS = 1024
"""Number of layers, heads, blocks, buckets: 128 is the most that a model of these families has."""
MOST_SIZE = 10_000_000
MOST_ITEMS = 1024
"""In a list of a configuration."""


def skeleton(part: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a part of a model on the meta device: names, shapes and dtypes, no memory.

    Raises:
        InvalidModel: The class does not take that config.
    """
    build = _BUILDERS[part]
    _check_sizes(part, config)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of config keys that a library of another version does not know
            return build({key: value for key, value in config.items() if not key.startswith("_")})
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ArithmeticError) as err:
        raise InvalidModel(f"{part}/{layout.CONFIG_FILE} does not describe a {layout.CLASSES[part]}: {err}") from err


def _check_sizes(part: str, config: Mapping[str, Any]) -> None:
    """Refuse what would take hours or all memory to build, even without weights."""
    for name, value in config.items():
        most = MOST_REPEATS if "num_" in name or "layers" in name else MOST_SIZE
        numbers = value if isinstance(value, list | tuple) else [value]
        if len(numbers) > MOST_ITEMS or any(isinstance(number, int) and abs(number) > most for number in numbers):
            raise InvalidModel(
                f"{part}/{layout.CONFIG_FILE} has {name}={str(value)[:40]}, where a model has at most {most} (and "
                f"{MOST_ITEMS} items in a list); download it again"
            )


def full_config(part: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's config with every default filled in, as its class would save it."""
    model = cast("Any", skeleton(part, config))
    values: dict[str, Any] = model.config.to_dict() if part == layout.TEXT_ENCODER else dict(model.config)
    return {**{key: value for key, value in values.items() if not key.startswith("_")}, **_class_entry(part)}


def _class_entry(part: str) -> dict[str, Any]:
    name = layout.CLASSES[part]
    return {"architectures": [name]} if part == layout.TEXT_ENCODER else {"_class_name": name}


def _transformer(config: dict[str, Any]) -> nn.Module:
    return cast("nn.Module", _library("diffusers").WanTransformer3DModel.from_config(config))


def _vae(config: dict[str, Any]) -> nn.Module:
    return cast("nn.Module", _library("diffusers").AutoencoderKLWan.from_config(config))


def _text_encoder(config: dict[str, Any]) -> nn.Module:
    transformers = _library("transformers")
    return cast("nn.Module", transformers.UMT5EncoderModel(transformers.UMT5Config(**config))).eval()


def _library(name: str) -> Any:
    return importlib.import_module(name)  # here and not above: each takes seconds, and not every part needs both


_BUILDERS: Mapping[str, Callable[[dict[str, Any]], nn.Module]] = {
    layout.TRANSFORMER: _transformer,
    layout.TEXT_ENCODER: _text_encoder,
    layout.VAE: _vae,
}
