"""Weights of stages on disk: safetensors files of at most 15 MB, so that any of them can be carried anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.autoencoder import Decoder, Encoder
from training.network import build_text_encoder, build_transformer
from training.stages.teacher import Teacher

PART_BYTES = 15_000_000


def save_modules(folder: Path, name: str, modules: Mapping[str, nn.Module]) -> None:
    """Write modules as `name-0.safetensors`, `name-1.safetensors` and so on, replacing older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}-[0-9].safetensors"):
        old.unlink()
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for owner, path, tensor in ((n, p, t) for n, m in modules.items() for p, t in _state(m).items()):
        if size + tensor.nbytes > PART_BYTES:
            parts.append({})
            size = 0
        parts[-1][f"{owner}:{path}"] = tensor.detach().cpu().contiguous().clone()
        size += tensor.nbytes
    for number, part in enumerate(parts):
        save_file(part, folder / f"{name}-{number}.safetensors")


def _state(module: nn.Module) -> dict[str, Tensor]:
    # The text encoder ties two names to one tensor; a file has it once.
    return {path: tensor for path, tensor in module.state_dict().items() if path != "encoder.embed_tokens.weight"}


def load_modules(folder: Path, name: str, modules: Mapping[str, nn.Module]) -> None:
    """Fill modules from what `save_modules` wrote.

    Raises:
        FileNotFoundError: There is no such checkpoint.
    """
    files = sorted(folder.glob(f"{name}-[0-9].safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} has no {name}-0.safetensors; run the stage that makes it first")
    tensors = {key: tensor for file in files for key, tensor in load_file(file).items()}
    for module_name, module in modules.items():
        wanted = set(_state(module))
        found = {key.partition(":")[2]: t for key, t in tensors.items() if key.startswith(f"{module_name}:")}
        if wanted != set(found):
            raise ValueError(f"{folder}/{name}: {module_name} has other tensors: {sorted(wanted ^ set(found))[:3]}")
        module.load_state_dict(found, strict=False)


def load_autoencoder(folder: Path, device: str) -> tuple[Encoder, Decoder]:
    """Load what the first stage left."""
    encoder, decoder = Encoder(), Decoder()
    load_modules(folder, "autoencoder", {"encoder": encoder, "decoder": decoder})
    for module in (encoder, decoder):
        module.to(device).eval().requires_grad_(requires_grad=False)
    return encoder, decoder


def load_teacher(folder: Path, name: str, device: str) -> Teacher:
    """Load a teacher or a student with its text encoder."""
    transformer, text = build_transformer(0), build_text_encoder(0)
    load_modules(folder, name, {"transformer": transformer, "text": text})
    return Teacher(transformer.to(device), text.to(device))


def set_exact(*, exact: bool) -> None:
    """Have torch choose kernels that give equal results in each run, or any.

    Then no block is compiled and no step recorded, so a step takes three times as long: what is compiled differs from
    process to process. Not with `warn_only`, which leaves the gradient of attention a sum in any order.
    """
    torch.use_deterministic_algorithms(exact)
    if exact:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the first product is computed
        torch.backends.cudnn.benchmark = False


def set_threads(device: str) -> None:
    """Use torch as all stages do: fast float32 products; on the CPU one thread, as the product renders."""
    if device == "cpu":
        torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
