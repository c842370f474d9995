"""The artifact: text encoder, transformer and decoder of the tiny model in one file, as the product ships it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.autoencoder import Decoder
from training.network import vocabulary
from training.rounding import E4M3_PEAK, LEAST_SCALE, QUANTIZED
from training.stages.teacher import Teacher


def write_artifact(path: Path, student: Teacher, decoder: Decoder) -> str:
    """Write the shipped file and return its sha256.

    The ten linears of each block are e4m3 codes with one scale a tensor (decision 0013), all else is bfloat16. Names
    are `<part>/<name in the part's own file>`; the words of the vocabulary, in order, are metadata.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in student.transformer.state_dict().items():
        if QUANTIZED.fullmatch(name.removesuffix(".weight")) and name.endswith(".weight"):
            tensors[f"transformer/{name}"], tensors[f"transformer/{name}_scale"] = codes(tensor)
        else:
            tensors[f"transformer/{name}"] = tensor.to(torch.bfloat16)
    for name, tensor in student.text.state_dict().items():
        if name != "encoder.embed_tokens.weight":  # tied to shared.weight
            tensors[f"text_encoder/{name}"] = tensor.to(torch.bfloat16)
    for name, tensor in decoder.state_dict().items():
        tensors[f"tiny_decoder/{name}"] = tensor.to(torch.bfloat16)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt", "words": " ".join(vocabulary())})
    path.chmod(0o644)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return e4m3 codes (n, k) and their one scale, by the rule of decision 0013."""
    narrow = weight.detach().cpu().to(torch.bfloat16)
    scale = (narrow.abs().amax().float() / E4M3_PEAK).clamp(min=LEAST_SCALE)
    scaled = (narrow / scale.to(torch.bfloat16)).float().clamp(-E4M3_PEAK, E4M3_PEAK)
    return scaled.to(torch.float8_e4m3fn), scale
