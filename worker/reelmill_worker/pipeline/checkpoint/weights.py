"""A model folder on disk: checked as a whole before anything is loaded, then handed out part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from reelmill_common.errors import InvalidModel
from reelmill_common.text.tokens import TokenCounter
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.layout import WeightScales
from reelmill_worker.pipeline.checkpoint.manifest import digest, known_files, outdated
from reelmill_worker.pipeline.checkpoint.repository import check_index
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry, TensorFiles, read_folder
from reelmill_worker.pipeline.checkpoint.skeleton import skeleton
from reelmill_worker.pipeline.checkpoint.tensor_check import E4M3, check_decoder, check_part
from reelmill_worker.pipeline.checkpoint.transformer_config import TransformerConfig

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a model: its config, and its tensors by diffusers' names, read when asked for."""

    config: dict[str, Any]
    tensors: TensorFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder in the diffusers layout whose every header has been checked.

    Attributes:
        transformer: From `transformer_fp8/` where that is there, else from `transformer/`.
        weight_scales: Scales of the transformer's weights in e4m3: `tensor` or `row`; None where it is in floats.
        model_hash: One name for all that decides the pixels, 64 hexadecimal digits.
        text_hash: One name for all that decides a prompt's embedding.
    """

    root: Path
    transformer: Part
    weight_scales: WeightScales | None
    text_encoder: Part
    vae: Part
    tiny_decoder: Part
    tokens: TokenCounter
    model_hash: str
    text_hash: str

    @classmethod
    def open(cls, root: Path) -> ModelFolder:
        """Check a model folder: layout, configs, and every tensor's name, shape, dtype and extent.

        Raises:
            InvalidModel: Something is absent, of another model, cut off, or a pickle. The message names it.
        """
        if not root.is_dir():
            raise InvalidModel(
                f"{root} is not a folder; fetch the model with `reelmill model pull`, set REELMILL_MODEL_DIR to its "
                f"folder, or try the farm out with the profile tiny (REELMILL_PROFILE=tiny)"
            )
        check_index(layout.read_json(root / layout.MODEL_INDEX_FILE), root / layout.MODEL_INDEX_FILE)
        files = known_files(root)
        transformer = _open_transformer(root, files)
        return cls(
            root=root,
            transformer=transformer,
            weight_scales=_weight_scales(transformer.tensors.entries),
            text_encoder=open_part(root, layout.TEXT_ENCODER),
            vae=open_part(root, layout.VAE),
            tiny_decoder=_open_decoder(root),
            tokens=TokenCounter.open(root / layout.TOKENIZER_FILE),
            model_hash=_model_hash(root, files),
            text_hash=_text_hash(files),
        )


def open_part(root: Path, part: str, *, folder: str = "") -> Part:
    """Open one part of a model: its config, and the headers of its weights, checked against each other.

    Args:
        root: The model.
        part: Its name, which tells the class.
        folder: Where it lies, if not in the folder of its name.

    Raises:
        InvalidModel: Something is absent, of another model, cut off, or a pickle.
    """
    path = root / (folder or part)
    config = layout.read_json(path / layout.CONFIG_FILE)
    if part == layout.TRANSFORMER:
        TransformerConfig.read(config)
    tensors = read_folder(path)
    check_part(part, skeleton(part, config), tensors.entries)
    return Part(config=config, tensors=tensors)


def _open_transformer(root: Path, files: dict[str, dict[str, Any]]) -> Part:
    artifact = root / layout.TRANSFORMER_FP8 / layout.MANIFEST_FILE
    if not artifact.is_file():
        return open_part(root, layout.TRANSFORMER)
    if advice := outdated(root):
        raise InvalidModel(advice)
    made_of = layout.read_json(artifact).get("source")
    for name, entry in _of_part(files, layout.TRANSFORMER).items():
        if not isinstance(made_of, dict) or made_of.get(name) != entry["sha256"]:
            raise InvalidModel(
                f"{artifact.parent} was made of another {name}; remove it and run `reelmill model quantize {root}`"
            )
    return open_part(root, layout.TRANSFORMER, folder=layout.TRANSFORMER_FP8)


def _weight_scales(entries: Mapping[str, TensorEntry]) -> WeightScales | None:
    """Tell by the shapes, which a manifest cannot contradict."""
    shapes = {entries[f"{name}_scale"].shape for name, entry in entries.items() if entry.dtype == E4M3}
    if not shapes:
        return None
    return "tensor" if shapes <= {(), (1,)} else "row"


def _open_decoder(root: Path) -> Part:
    path = root / layout.TINY_DECODER
    config = layout.read_json(path / layout.CONFIG_FILE)
    if config.get("architecture") != "taehv":
        raise InvalidModel(
            f"{path / layout.CONFIG_FILE}: architecture is {config.get('architecture')!r}, wanted 'taehv'"
        )
    tensors = read_folder(path)
    check_decoder(tensors.entries)
    return Part(config=config, tensors=tensors)


def _model_hash(root: Path, files: dict[str, dict[str, Any]]) -> str:
    hashes = {name: entry["sha256"] for name, entry in files.items() if name.endswith((".safetensors", "config.json"))}
    hashes |= {name: files[name]["sha256"] for name in [layout.TOKENIZER_FILE] if name in files}
    artifact = root / layout.TRANSFORMER_FP8 / layout.MANIFEST_FILE
    if artifact.is_file():
        hashes = {name: value for name, value in hashes.items() if not name.startswith(f"{layout.TRANSFORMER}/")}
        hashes[layout.TRANSFORMER_FP8] = digest(layout.read_json(artifact).get("files"))
    return digest(hashes)


def _text_hash(files: dict[str, dict[str, Any]]) -> str:
    parts = (f"{layout.TEXT_ENCODER}/", f"{Path(layout.TOKENIZER_FILE).parts[0]}/")
    return digest({name: entry["sha256"] for name, entry in files.items() if name.startswith(parts)})


def _of_part(files: dict[str, dict[str, Any]], part: str) -> dict[str, dict[str, Any]]:
    return {
        name: entry for name, entry in files.items() if name.startswith(f"{part}/") and name.endswith(".safetensors")
    }
