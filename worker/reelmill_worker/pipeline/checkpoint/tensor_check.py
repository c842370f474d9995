"""Checks that a part's tensors are those that its config implies: names, shapes and dtypes, from the headers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry

FLOATS = ("F32", "BF16", "F16")
E4M3 = "F8_E4M3"
SHOWN = 5
"""Names in a message; a checkpoint of another model would else print thousands."""

QUANTISED = re.compile(r"blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ffn\.net\.(0\.proj|2))\.weight")
"""The 10 large linears of each block: what the released model quantises. Source: FastVideo 2f3d4074, fp8_config.py."""
GATE = re.compile(r"blocks\.\d+\.to_gate_compress\.(weight|bias)")
"""Extra tensors of checkpoints of the sparse-attention family: a dense model does not use them."""
TIED = {"encoder.embed_tokens.weight": "shared.weight"}
"""Stored once, or twice with equal content."""


def check_part(part: str, model: nn.Module, entries: Mapping[str, TensorEntry]) -> None:
    """Compare a part's files with the model that its config describes.

    Raises:
        InvalidModel: A tensor is missing, too many, or of the wrong shape or dtype. The message names it.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    scales = {f"{name}_scale" for name in wanted if name in entries and entries[name].dtype == E4M3}
    missing = [name for name in wanted if name not in entries and TIED.get(name) not in entries]
    missing += sorted(scales - entries.keys())
    if missing:
        raise InvalidModel(f"{part}: {_names(missing)} missing from {_file(entries)}; download the part again")
    gates = {name for name in entries if part == layout.TRANSFORMER and GATE.fullmatch(name)}
    extra = sorted(entries.keys() - wanted.keys() - scales - gates)
    if extra:
        raise InvalidModel(f"{part}: {_names(extra)} unknown to its {layout.CONFIG_FILE}; take both from one model")
    for name, shape in wanted.items():
        if name in entries:
            _check_tensor(part, name, entries[name], shape)
    for name in scales:
        _check_scale(part, name, entries)


def check_decoder(entries: Mapping[str, TensorEntry]) -> None:
    """Refuse dtypes that the tiny decoder does not take; it checks names and shapes itself while it is put together.

    Raises:
        InvalidModel: A tensor is neither of the decoder nor of its encoder half, or is not of floats.
    """
    for name, entry in entries.items():
        if not name.startswith(("decoder.", "encoder.")):
            raise InvalidModel(
                f"{layout.TINY_DECODER}: {name} is not a tensor of a TAEHV model; use taew2_1.safetensors"
            )
        _check_dtype(layout.TINY_DECODER, name, entry, FLOATS)


def _check_tensor(part: str, name: str, entry: TensorEntry, shape: tuple[int, ...]) -> None:
    if entry.shape != shape:
        raise InvalidModel(
            f"{part}: {name} in {entry.file} has shape {entry.shape} where {layout.CONFIG_FILE} wants {shape}; "
            f"take weights and config from one model"
        )
    may_be_codes = part == layout.TRANSFORMER and QUANTISED.fullmatch(name)
    _check_dtype(part, name, entry, (*FLOATS, E4M3) if may_be_codes else FLOATS)


def _check_dtype(part: str, name: str, entry: TensorEntry, allowed: tuple[str, ...]) -> None:
    if entry.dtype not in allowed:
        raise InvalidModel(f"{part}: {name} in {entry.file} is {entry.dtype}; wanted {' or '.join(allowed)}")


def _check_scale(part: str, name: str, entries: Mapping[str, TensorEntry]) -> None:
    entry, rows = entries[name], entries[name.removesuffix("_scale")].shape[0]
    if entry.dtype != "F32" or entry.shape not in ((), (1,), (rows,)):
        raise InvalidModel(
            f"{part}: {name} in {entry.file} is {entry.dtype} {entry.shape}; "
            f"wanted F32, one scale or {rows} (a row each)"
        )


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more + (" are" if len(names) > 1 else " is")


def _file(entries: Mapping[str, TensorEntry]) -> str:
    files = sorted({str(entry.file) for entry in entries.values()})
    return files[0] if len(files) == 1 else f"{len(files)} files"
