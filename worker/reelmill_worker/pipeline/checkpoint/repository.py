"""Checks of a repository by its small files, before gigabytes are downloaded: a refusal, or a warning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry
from reelmill_worker.pipeline.checkpoint.skeleton import skeleton
from reelmill_worker.pipeline.checkpoint.tensor_check import GATE, check_part
from reelmill_worker.pipeline.checkpoint.transformer_config import TransformerConfig

PIPELINES = ("WanPipeline", "WanDMDPipeline")
"""The released FastWan-QAD names the first, FastWan 2.1 the second."""
DISTILLED = re.compile(
    r"fastwan|qad|dmd|distil|causvid|self.?forcing|turbo|lightning|lightx2v|rcm|[1-8].?step", re.IGNORECASE
)
"""Words by which few-step models are named."""
USUAL_LAYERS = 30
WANTED = "only Wan 2.1 text-to-video models in the diffusers layout can be rendered"


def check_index(index: Mapping[str, Any], where: object) -> None:
    """Refuse a `model_index.json` of another family or kind.

    Args:
        index: Its content.
        where: For the message: the file, or the repository.

    Raises:
        InvalidModel: With what the model is, as far as it can be told.
    """
    pipeline = str(index.get("_class_name", PIPELINES[0]))
    kinds = {
        "a two-expert model (Wan 2.2)": _named(index, "transformer_2") or index.get("boundary_ratio") is not None,
        "an image-to-video model": "ImageToVideo" in pipeline or _named(index, "image_encoder"),
        "Wan 2.2 TI2V, whose timesteps differ by token": bool(index.get("expand_timesteps")),
        f"of another pipeline, {pipeline[:60]}": pipeline not in PIPELINES,
    }
    for kind, applies in kinds.items():
        if applies:
            raise InvalidModel(f"{where} is {kind}; {WANTED}")
    for part, wanted in layout.CLASSES.items():
        entry = index.get(part)
        got = entry[1] if isinstance(entry, list) and len(entry) == 2 else entry
        if got != wanted:
            raise InvalidModel(f"{where}: {part} is {got}, wanted {wanted}; {WANTED}")


def _named(index: Mapping[str, Any], part: str) -> bool:
    entry = index.get(part)
    return any(entry) if isinstance(entry, list) else bool(entry)


def check_listing(repo: str, names: Sequence[str]) -> None:
    """Refuse a repository by the names of its files.

    Raises:
        InvalidModel: It has parts of another kind of model, or two sets of weights in one folder.
    """
    folders = {name.partition("/")[0] for name in names if "/" in name}
    for folder, kind in {
        "transformer_2": "a two-expert model (Wan 2.2)",
        "image_encoder": "an image-to-video model",
        "unet": "an image model of another family",
    }.items():
        if folder in folders:
            raise InvalidModel(f"{repo} is {kind}: it has {folder}/; {WANTED}")
    for part in layout.CLASSES:
        sets = weight_sets(name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/"))
        if len(sets) > 1:
            raise InvalidModel(
                f"{repo} has {len(sets)} sets of weights in {part}/ ({', '.join(sets)}), and nothing says which is the "
                f"model; take a repository or a commit with one"
            )


def weight_sets(names: Iterable[str]) -> list[str]:
    """Return the weights in a folder by name; the shards of one set, and its index, count once."""
    found: set[str] = set()
    for name in names:
        if "/" not in name and name.endswith((".safetensors", ".safetensors.index.json")):
            stem = name.removesuffix(".index.json")
            # A variant comes before the number in old files and behind it in new ones: x.fp16-00001-of-00002.
            found.add(re.sub(r"-\d{5}-of-\d{5}", "", stem))
    return sorted(found)


def check_transformer(repo: str, config: Mapping[str, Any], entries: Mapping[str, TensorEntry]) -> None:
    """Refuse a transformer by its configuration, and by its tensors where one file's header tells all of them.

    Raises:
        InvalidModel: With what was got and wanted.
    """
    if "quantization_config" in config:
        method = config["quantization_config"]
        named = method.get("quant_method") if isinstance(method, dict) else method
        raise InvalidModel(f"{repo} is quantised by {str(named)[:40]}; take the repository of its floats")
    TransformerConfig.read(config)
    eight = [name for name, entry in entries.items() if entry.dtype.startswith(("F8_", "I8", "U8"))]
    if eight and any(f"{name}_scale" not in entries for name in eight):
        raise InvalidModel(
            f"{repo} holds {len(eight)} tensors in 8 bits without the scales that are read here ({eight[0]}_scale, "
            f"F32); take the repository of its floats and run `reelmill model quantize`"
        )
    if entries:
        check_part(layout.TRANSFORMER, skeleton(layout.TRANSFORMER, config), entries)


def warnings_of(repo: str, config: Mapping[str, Any], tensors: Iterable[str]) -> list[str]:
    """Return what a person should know of a model that can be rendered."""
    found: list[str] = []
    if not DISTILLED.search(repo) and (repo.lower().startswith("wan-ai/") or re.search(r"wan.?2", repo, re.IGNORECASE)):
        found.append(
            f"{repo} looks like an undistilled base: it wants some 50 steps with guidance, and 3 steps without make a "
            f"blur; the default repository is distilled"
        )
    gates = sum(1 for name in tensors if GATE.fullmatch(name) and name.endswith(".weight"))
    if gates:
        found.append(
            f"{repo} was trained for sparse attention ({gates} to_gate_compress gates): dense attention leaves the "
            f"gates out, and clips differ from what it was trained for"
        )
    layers = int(config.get("num_layers", USUAL_LAYERS))
    if layers > USUAL_LAYERS:
        found.append(
            f"{repo} has {layers} layers where plans reckon with {USUAL_LAYERS}: it takes more memory and time than "
            f"`reelmill doctor` says"
        )
    return found


def described(headers: Mapping[str, Any], file: str) -> dict[str, TensorEntry]:
    """Return tensors as the hub's library describes those of a file that is not here."""
    return {
        name: TensorEntry(file=Path(file), dtype=str(info.dtype), shape=tuple(info.shape))
        for name, info in headers.items()
    }
