"""The artifact: text encoder, transformer and decoder of the tiny model in one file, as the product ships it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.autoencoder import Decoder
from training.captions import vocabulary
from training.rounding import E4M3_PEAK, LEAST_SCALE, QUANTIZED
from training.stages.teacher import Teacher

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "worker/reelmill_worker/pipeline/prepare/tiny_weights.safetensors"
LOADER = WEIGHTS.with_name("trained_tiny.py")
OF_TIMESTEP = re.compile(r"condition_embedder\.time_(embedder\.linear_[12]|proj)\.")
"""Linears that the product multiplies in full width; as codes they take half a megabyte less."""
VOCABULARY = ROOT / "common/reelmill_common/text/tiny_vocabulary.txt"
"""The vocabulary beside the producer's code, which reads no weights."""


def write_artifact(path: Path, student: Teacher, decoder: Decoder) -> str:
    """Write the shipped file and return its sha256.

    The ten linears of each block and those of the timestep are e4m3 codes with one scale a tensor (decision 0013), all
    else is bfloat16. Names
    are `<part>/<name in the part's own file>`; what each block has is stacked under one name with `*` for the block's
    number, since names of single tensors take 20 kB. The words of the vocabulary, in order, are metadata.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in student.transformer.state_dict().items():
        if name.endswith(".weight") and (QUANTIZED.match(name) or OF_TIMESTEP.match(name)):
            tensors[f"transformer/{name}"], tensors[f"transformer/{name}_scale"] = codes(tensor)
        else:
            tensors[f"transformer/{name}"] = tensor.to(torch.bfloat16)
    for name, tensor in student.text.state_dict().items():
        if name != "encoder.embed_tokens.weight":  # tied to shared.weight
            tensors[f"text_encoder/{name}"] = tensor.to(torch.bfloat16)
    for name, tensor in decoder.state_dict().items():
        tensors[f"tiny_decoder/{name}"] = tensor.to(torch.bfloat16)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in _stacked(tensors).items()}
    save_file(whole, path, metadata={"format": "pt", "words": " ".join(vocabulary())})
    path.chmod(0o644)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stack what each block of the transformer has, in the order of the blocks."""
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(re.sub(r"^transformer/blocks\.\d+\.", "transformer/blocks.*.", name), []).append(tensor)
    return {name: _stack(group) if "*" in name else group[0] for name, group in groups.items()}


def _stack(group: list[Tensor]) -> Tensor:
    if group[0].dtype is not torch.float8_e4m3fn:
        return torch.stack(group)
    return torch.stack([one.view(torch.uint8) for one in group]).view(torch.float8_e4m3fn)


def ship(student: Teacher, decoder: Decoder) -> str:
    """Write the package's weights, their sha256 in the code that loads them, and their words; return the sha256."""
    sha256 = write_artifact(WEIGHTS, student, decoder)
    code = re.sub(r'^WEIGHTS_SHA256 = ".*"$', f'WEIGHTS_SHA256 = "{sha256}"', LOADER.read_text(), flags=re.MULTILINE)
    LOADER.write_text(code)
    write_vocabulary(VOCABULARY)
    return sha256


def write_vocabulary(path: Path) -> None:
    """Write the vocabulary without punctuation, a word a line."""
    path.write_text("".join(f"{word}\n" for word in vocabulary() if word[0].isalpha()), encoding="utf-8")


def codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return e4m3 codes (n, k) and their one scale, by the rule of decision 0013."""
    narrow = weight.detach().cpu().to(torch.bfloat16)
    scale = (narrow.abs().amax().float() / E4M3_PEAK).clamp(min=LEAST_SCALE)
    scaled = (narrow / scale.to(torch.bfloat16)).float().clamp(-E4M3_PEAK, E4M3_PEAK)
    return scaled.to(torch.float8_e4m3fn), scale
