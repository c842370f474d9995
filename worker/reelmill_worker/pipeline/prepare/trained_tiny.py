"""The `tiny` profile with the weights that training made: a small world of things, on the profile's real classes.

The weights are package data, written by `training/` of the repository. The high-quality decoder has no trained weights
of this size: it stays random, and renders noise.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import torch
from safetensors import safe_open
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.manifest import file_sha256
from reelmill_worker.pipeline.prepare.tiny_tokenizer import SPECIAL, save_tokenizer

WEIGHTS = "tiny_weights.safetensors"
WEIGHTS_SHA256 = "a9474f9ac94f8d9318dcb0c54e68b5da77a6ee3ecbcd35ff94ea5cd4520cb396"
"""The hash of the package's file; a test compares them."""

Tensors = dict[str, Tensor]


def trained_parts() -> tuple[tuple[str, ...], dict[str, Tensors]]:
    """Return the words of the vocabulary and the trained tensors by part, in float32."""
    with as_file(files(__name__.rpartition(".")[0]) / WEIGHTS) as path, safe_open(path, "pt") as file:
        vocabulary = tuple(file.metadata()["words"].split())
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    parts: dict[str, Tensors] = {layout.TRANSFORMER: {}, layout.TEXT_ENCODER: {}, layout.TINY_DECODER: {}}
    for name, tensor in stored.items():
        part, _, path_in_part = name.partition("/")
        if path_in_part.endswith(".weight_scale"):
            continue
        wide = tensor.float()
        if tensor.dtype == torch.float8_e4m3fn:
            wide = wide * stored[f"{name}_scale"].view(-1, *[1] * (wide.dim() - 1))
        if "*" not in path_in_part:
            parts[part][path_in_part] = wide
        for number, one in enumerate(wide if "*" in path_in_part else ()):  # stacked over the blocks
            parts[part][path_in_part.replace("*", str(number))] = one.clone()
    return vocabulary, parts


def weights_sha256() -> str:
    """Hash the package's file."""
    with as_file(files(__name__.rpartition(".")[0]) / WEIGHTS) as path:
        return file_sha256(path)


def write_word_tokenizer(folder: Path, known: tuple[str, ...]) -> int:
    """Write a tokenizer that knows whole words only, in lower case; return the size of its vocabulary."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *known))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[3]))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    save_tokenizer(tokenizer, folder)
    return len(vocabulary)
