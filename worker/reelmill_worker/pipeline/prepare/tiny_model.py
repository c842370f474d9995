"""The `tiny` profile: the real classes, names and file layout in a few megabytes of trained or of random weights.

Random weights render clouds of colour, not what the prompt says. Everything around them is what a real model has:
the RoPE split of 128-wide heads, norms across heads, a text encoder, both decoders, a tokenizer that takes any text.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.manifest import MADE_UP, TRAINED, write_manifest
from reelmill_worker.pipeline.checkpoint.skeleton import full_config, skeleton
from reelmill_worker.pipeline.prepare.cloud_decoder import cloud_decoder
from reelmill_worker.pipeline.prepare.tiny_tokenizer import write_tokenizer
from reelmill_worker.pipeline.prepare.trained_tiny import (
    WEIGHTS_SHA256,
    trained_parts,
    weights_sha256,
    write_word_tokenizer,
)

DEFAULT_SEED = 7

TRANSFORMER: Mapping[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 2,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 64,
    "freq_dim": 256,
    "ffn_dim": 512,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
}
"""Two heads of the real width: RoPE splits 44/42/42 as in the real model, and the QK norm spans more than one head."""
TEXT_ENCODER: Mapping[str, Any] = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
}
VAE: Mapping[str, Any] = {"base_dim": 8, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
SCHEDULER: Mapping[str, Any] = {
    "_class_name": "UniPCMultistepScheduler",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
}
"""For diffusers, which wants one; our samplers have their constants from elsewhere."""
TRAINED_TRANSFORMER: Mapping[str, Any] = {**TRANSFORMER, "ffn_dim": 640, "num_layers": 6}
TRAINED_DECODER_WIDTHS = (64, 48, 32, 24)
DECODER_WIDTHS = (32, 16, 8, 8)
"""An eighth of the real decoder's 256, 128, 64, 64: a 64th of its arithmetic."""


def make_tiny(folder: Path, *, seed: int = DEFAULT_SEED) -> None:
    """Write the tiny model with random weights to a new folder. One seed gives the same bytes on one machine.

    Raises:
        InvalidModel: The folder exists and is not empty.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    _make(folder, lambda part: _write(part, generator), {"made_by": MADE_UP, "seed": seed})


def make_trained_tiny(folder: Path) -> None:
    """Write the tiny model with the weights that ship with the package to a new folder.

    Raises:
        InvalidModel: The folder exists and is not empty, or the package's weights are damaged.
    """
    if weights_sha256() != WEIGHTS_SHA256:
        raise InvalidModel("the tiny model's weights in this installation are damaged; install reelmill again")
    _make(folder, _write_trained, {"made_by": TRAINED, "weights_sha256": WEIGHTS_SHA256})


def _make(folder: Path, write: Callable[[Path], None], source: Mapping[str, Any]) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidModel(f"{folder} exists and is not empty; name a new folder, or remove it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed: a folder of that name is always whole, even if we are killed here.
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(part)
        write_manifest(part, source=source)
        part.chmod(0o755)
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write(folder: Path, generator: torch.Generator) -> None:
    vocabulary = write_tokenizer(folder / "tokenizer")
    configs = _configs(vocabulary, TRANSFORMER)
    tensors = {part: _drawn(skeleton(part, config), generator) for part, config in configs.items()}
    tensors[layout.TEXT_ENCODER].pop("encoder.embed_tokens.weight", None)  # tied to shared.weight, stored once
    tensors[layout.TINY_DECODER] = cloud_decoder(DECODER_WIDTHS, generator)
    _write_parts(folder, configs, tensors, DECODER_WIDTHS)


def _write_trained(folder: Path) -> None:
    known, trained = trained_parts()
    configs = _configs(write_word_tokenizer(folder / "tokenizer", known), TRAINED_TRANSFORMER)
    # The high-quality decoder was not trained.
    generator = torch.Generator("cpu").manual_seed(DEFAULT_SEED)
    tensors = {**trained, layout.VAE: _drawn(skeleton(layout.VAE, VAE), generator)}
    _write_parts(folder, configs, tensors, TRAINED_DECODER_WIDTHS)


def _configs(vocabulary: int, transformer: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    encoder = {**TEXT_ENCODER, "vocab_size": vocabulary}
    return {layout.TEXT_ENCODER: encoder, layout.TRANSFORMER: transformer, layout.VAE: VAE}


def _write_parts(
    folder: Path,
    configs: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, dict[str, Tensor]],
    widths: Sequence[int],
) -> None:
    layout.write_json(folder / layout.MODEL_INDEX_FILE, layout.MODEL_INDEX)
    layout.write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    for part, config in configs.items():
        layout.write_json(folder / part / layout.CONFIG_FILE, full_config(part, config))
        _save(folder / part / layout.weights_file(part), tensors[part])
    decoder = folder / layout.TINY_DECODER
    layout.write_json(decoder / layout.CONFIG_FILE, {**layout.TINY_DECODER_CONFIG, "widths": list(widths)})
    _save(decoder / layout.WEIGHTS_FILE, tensors[layout.TINY_DECODER])


def _drawn(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    return {name: _draw(name, shapes[name], generator) for name in sorted(shapes)}


def _draw(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw a tensor so that activations keep their size from layer to layer, and no part is idle."""
    noise = torch.randn(shape, generator=generator)
    if name.endswith(".bias"):
        return 0.05 * noise
    if name.endswith(".gamma") or ("norm" in name and noise.dim() == 1):
        return 1 + 0.1 * noise
    if "scale_shift_table" in name or "relative_attention_bias" in name:
        return 0.3 * noise
    if name == "shared.weight":
        return noise
    matrix = noise / math.sqrt(shape[1:].numel())
    # UMT5 does not scale its attention logits; its queries are drawn smaller instead, as its own initialisation does.
    return matrix / math.sqrt(TEXT_ENCODER["d_kv"]) if "SelfAttention.q." in name else matrix


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes files that only their owner may read
