"""Random weights at the real model's sizes: they time the same as real ones, and none need be downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.manifest import write_manifest
from reelmill_worker.pipeline.checkpoint.skeleton import full_config
from reelmill_worker.pipeline.prepare.quantization import quantize
from reelmill_worker.pipeline.prepare.tiny_model import make_tiny

TRANSFORMER: Mapping[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
}
"""Wan2.1-T2V-1.3B: 1,418,996,800 parameters."""
TEXT_ENCODER: Mapping[str, Any] = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": 0,
    "eos_token_id": 1,
}
"""UMT5-XXL."""


def transformer(*, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Return diffusers' transformer on the GPU with seeded random weights, those that it keeps in float32 so."""
    from diffusers import WanTransformer3DModel  # noqa: PLC0415 - takes seconds

    torch.manual_seed(0)
    with torch.device("cuda"):
        model = WanTransformer3DModel(**TRANSFORMER).eval()
    model.requires_grad_(requires_grad=False)
    kept = WanTransformer3DModel._keep_in_fp32_modules  # noqa: SLF001 - what from_pretrained goes by
    for name, parameter in model.named_parameters():
        if "norm_q" in name or "norm_k" in name:
            parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
        # As from_pretrained does: whole parts of the name, so `norm_q` is not `norm`.
        if not any(part in name.split(".") for part in kept):
            parameter.data = parameter.data.to(dtype)
    return model


def tiny_decoder() -> dict[str, Tensor]:
    """Return the tensors of taew2_1's decoder, random, scaled so that a picture comes out."""
    generator = torch.Generator("cuda").manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def conv(name: str, out: int, into: int, size: int = 3, *, bias: bool = True) -> None:
        spread = (into * size * size) ** -0.5
        tensors[f"{name}.weight"] = spread * torch.randn((out, into, size, size), generator=generator, device="cuda")
        if bias:
            tensors[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator, device="cuda")

    conv("decoder.1", 256, 16)
    for start, width, out, frames in ((3, 256, 128, 1), (9, 128, 64, 2), (15, 64, 64, 2)):
        for place in range(start, start + 3):
            conv(f"decoder.{place}.conv.0", width, 2 * width)
            conv(f"decoder.{place}.conv.2", width, width)
            conv(f"decoder.{place}.conv.4", width, width)
        conv(f"decoder.{start + 4}.conv", frames * width, width, 1, bias=False)
        conv(f"decoder.{start + 5}", out, width, bias=False)
    conv("decoder.22", 3, 64)
    return tensors


def text_encoder(*, dtype: torch.dtype = torch.bfloat16) -> Any:
    """Return UMT5-XXL on the GPU with random weights."""
    from transformers import UMT5Config, UMT5EncoderModel  # noqa: PLC0415 - takes seconds

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            model = UMT5EncoderModel(UMT5Config(**TEXT_ENCODER)).eval()
        model.to_empty(device="cuda")
    finally:
        torch.set_default_dtype(before)
    for name, parameter in model.named_parameters():
        spread = 1.0 if "shared" in name else 0.3 if "relative" in name else parameter.shape[-1] ** -0.5
        # UMT5 does not scale its attention logits; its queries are smaller instead.
        parameter.data.normal_(0, spread / 8 if "SelfAttention.q." in name else spread)
        if parameter.ndim < 2:
            parameter.data.fill_(1)
    return model.requires_grad_(requires_grad=False)


def write_model(folder: Path) -> None:
    """Write a whole model folder at full size: bfloat16 weights, a transformer quantised by tensor, a tiny tokenizer.

    The real text encoder lies in float32, twice the bytes of this one.
    """
    from diffusers import AutoencoderKLWan  # noqa: PLC0415 - takes seconds

    make_tiny(folder)
    parts: dict[str, tuple[Mapping[str, Any], dict[str, Tensor]]] = {
        layout.TRANSFORMER: (TRANSFORMER, transformer().state_dict()),
        layout.TEXT_ENCODER: (TEXT_ENCODER, text_encoder().state_dict()),
        layout.VAE: ({}, AutoencoderKLWan().bfloat16().state_dict()),
    }
    for part, (config, tensors) in parts.items():
        layout.write_json(folder / part / layout.CONFIG_FILE, full_config(part, config))
        tensors.pop("encoder.embed_tokens.weight", None)
        save_file({name: x.contiguous() for name, x in tensors.items()}, folder / part / layout.weights_file(part))
    decoder = folder / layout.TINY_DECODER
    layout.write_json(decoder / layout.CONFIG_FILE, layout.TINY_DECODER_CONFIG)
    save_file(tiny_decoder(), decoder / layout.WEIGHTS_FILE)
    write_manifest(folder, source={"made_by": "benchmarks/full_size.py"})
    quantize(folder)
