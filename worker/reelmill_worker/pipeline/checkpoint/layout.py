"""The diffusers folder layout of a model: which parts there are, and the names of their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from reelmill_common.errors import InvalidModel

WeightScales = Literal["tensor", "row", "none"]
"""How codes of weights are scaled: one scale a weight tensor, one a row, or floats without any."""

MODEL_INDEX_FILE = "model_index.json"
CONFIG_FILE = "config.json"
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
TEXT_WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer/tokenizer.json"
MOST_JSON_BYTES = 64_000_000
"""Bytes of a configuration or index; the largest of the real model has 0.1 MB."""

TRANSFORMER = "transformer"
TRANSFORMER_FP8 = "transformer_fp8"
TEXT_ENCODER = "text_encoder"
VAE = "vae"
TINY_DECODER = "tiny_decoder"

MODEL_INDEX: Mapping[str, Any] = {
    "_class_name": "WanPipeline",
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}
"""What diffusers reads first: the class of each part."""
CLASSES: Mapping[str, str] = {part: MODEL_INDEX[part][1] for part in (TRANSFORMER, TEXT_ENCODER, VAE)}
"""The parts with a class in diffusers or transformers, which their configuration must name."""

TINY_DECODER_CONFIG: Mapping[str, Any] = {
    "_class_name": "TinyDecoder",
    "architecture": "taehv",
    "latent_channels": 16,
    "widths": [256, 128, 64, 64],
    "frames_to_trim": 3,
}
"""The tiny decoder has no class in diffusers, so this file is ours; the widths are those of `taew2_1`."""


def weights_file(part: str) -> str:
    """Return the name that the part's library gives to an unsplit weights file."""
    return TEXT_WEIGHTS_FILE if part == TEXT_ENCODER else WEIGHTS_FILE


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with sorted keys, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InvalidModel: The file is absent, or holds something else.
    """
    if not path.exists():
        raise InvalidModel(f"{path} is missing; download the model again (reelmill model pull)")
    if not path.is_file() or path.stat().st_size > MOST_JSON_BYTES:  # a pipe or a device would never end
        raise InvalidModel(f"{path} is not a file of at most {MOST_JSON_BYTES:,} bytes; download it again")
    try:
        value: object = json.loads(path.read_text())
    except RecursionError as err:
        raise InvalidModel(f"{path} is nested too deep to be a configuration; download it again") from err
    except (OSError, ValueError) as err:
        raise InvalidModel(f"{path} cannot be read as JSON: {err}; download it again") from err
    if not isinstance(value, dict):
        raise InvalidModel(f"{path} holds {type(value).__name__} where an object is wanted; download it again")
    return value
