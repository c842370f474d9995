"""From a transformer in floats to the e4m3 artifact that is loaded ever after: a quarter of the size, one hash.

Weights are quantised once and not on every load, because the codes depend on where they are made: FastVideo's on a GPU
and on a CPU differ in some (section 4.4 of its reproduction fastvideo2), and all workers shall have the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reelmill_common.errors import InvalidModel
from reelmill_common.recipe import versions
from reelmill_worker.pipeline.checkpoint import layout
from reelmill_worker.pipeline.checkpoint.manifest import (
    ARTIFACT_FORMAT,
    ARTIFACT_VERSION,
    file_sha256,
    known_files,
    listing,
    model_files,
    outdated,
)
from reelmill_worker.pipeline.checkpoint.manifest import FORMAT as MODEL_FORMAT
from reelmill_worker.pipeline.checkpoint.safetensors_file import TensorEntry, TensorFiles, read_header
from reelmill_worker.pipeline.checkpoint.safetensors_writer import Described, write_safetensors
from reelmill_worker.pipeline.checkpoint.tensor_check import E4M3, GATE, QUANTISED
from reelmill_worker.pipeline.checkpoint.weights import Part, open_part
from reelmill_worker.pipeline.network.linears import quantize_weight
from reelmill_worker.pipeline.network.plan import Granularity
from reelmill_worker.pipeline.prepare.lora import Lora, merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What quantising made.

    Attributes:
        folder: `transformer_fp8` in the model.
        sha256: The hash of its weights file.
        quantised: Number of weights that are codes now.
        size_bytes: The size of its weights file.
    """

    folder: Path
    sha256: str
    quantised: int
    size_bytes: int


def quantize(
    root: Path, *, granularity: Granularity = "tensor", loras: Sequence[Lora] = (), into: Path | None = None
) -> Artifact:
    """Write a model's `transformer_fp8`, one tensor in memory at a time; an artifact of an older kind is replaced.

    Args:
        root: The model, with `transformer/` in floats.
        granularity: `tensor`, one scale a weight, as FP8 QAT rounds it in training (`linears.quantize_tensor`); or
            `row`, a scale for each output channel, closer to floats that were not trained so.
        loras: Changes to merge first.
        into: A new model folder for the artifact; the other parts are linked into it, or copied to another disk.

    Raises:
        InvalidModel: The transformer is not in floats, is damaged, there is an artifact already, or a LoRA file is of
            another model.
    """
    folder = (root if into is None else into) / layout.TRANSFORMER_FP8
    _check_target(root, into, folder)
    if folder.exists() and granularity == "row" and not loras and not (root / layout.TRANSFORMER).exists():
        return _keep_by_row(folder)
    part = open_part(root, layout.TRANSFORMER)
    for lora in loras:
        lora.check(part.tensors.entries)
    source = _source_hashes(root, part)
    try:
        if into is not None:
            _link_model(root, into)
        return _build(folder, part, granularity, loras, source)
    except BaseException:
        if into is not None:
            shutil.rmtree(into, ignore_errors=True)
        raise


def _build(
    folder: Path, part: Part, granularity: Granularity, loras: Sequence[Lora], source: Mapping[str, str]
) -> Artifact:
    # Written beside and renamed: an artifact of that name is always whole, even if we are killed here.
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        quantised = _write(work / layout.WEIGHTS_FILE, part, granularity, loras)
        layout.write_json(work / layout.CONFIG_FILE, part.config)
        files = listing(work, [work / layout.WEIGHTS_FILE, work / layout.CONFIG_FILE])
        layout.write_json(work / layout.MANIFEST_FILE, _manifest(granularity, source, loras, files))
        work.chmod(0o755)
        if folder.exists():  # of an older kind: without it the floats are rounded on load, to the same codes
            shutil.rmtree(folder)
        work.replace(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    weights = files[layout.WEIGHTS_FILE]
    return Artifact(folder=folder, sha256=weights["sha256"], quantised=quantised, size_bytes=int(weights["size_bytes"]))


def _check_target(root: Path, into: Path | None, folder: Path) -> None:
    if folder.exists() and not outdated(folder.parent):
        raise InvalidModel(f"{folder} exists; remove it to quantise the transformer again")
    if into is not None and into.exists():
        raise InvalidModel(f"{into} exists; name a new folder for the changed model")
    if into is not None and into.absolute().is_relative_to(root.absolute()):
        raise InvalidModel(f"{into} is inside {root}; name a folder outside of it")


def _keep_by_row(folder: Path) -> Artifact:
    """Say of an artifact by row, of an older kind and without its floats, that it is meant so."""
    manifest = layout.read_json(folder / layout.MANIFEST_FILE)
    file = folder / layout.WEIGHTS_FILE
    digest = file_sha256(file)
    if manifest["files"][layout.WEIGHTS_FILE]["sha256"] != digest:
        raise InvalidModel(f"{file} is not what its manifest says (sha256 differs); remove {folder} and pull the model")
    quantised = sum(1 for entry in read_header(file).values() if entry.dtype == E4M3)
    layout.write_json(folder / layout.MANIFEST_FILE, {**manifest, "version": ARTIFACT_VERSION})
    return Artifact(folder=folder, sha256=digest, quantised=quantised, size_bytes=file.stat().st_size)


def _link_model(root: Path, into: Path) -> None:
    """Make a model folder of another's parts, all but the transformer: its files take no room a second time."""
    kept = [file for file in model_files(root) if file.relative_to(root).parts[0] != layout.TRANSFORMER]
    for file in kept:
        place = into / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(file)
        except OSError:  # another disk, or one without links
            shutil.copyfile(file, place)
    hashes = known_files(root)
    files = {name: hashes[name] for name in (file.relative_to(root).as_posix() for file in kept)}
    layout.write_json(
        into / layout.MANIFEST_FILE, {"format": MODEL_FORMAT, "source": {"changed_from": root.name}, "files": files}
    )


def _manifest(
    granularity: Granularity, source: Mapping[str, str], loras: Sequence[Lora], files: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": ARTIFACT_FORMAT,
        "version": ARTIFACT_VERSION,
        "granularity": granularity,
        "source": dict(source),
        "files": dict(files),
        "loras": [
            {"name": lora.path.name, "sha256": file_sha256(lora.path), "strength": lora.strength} for lora in loras
        ],
        "torch": versions()["torch"],
    }


def _source_hashes(root: Path, part: Part) -> dict[str, str]:
    """Hash the source's files, and compare them with the model's manifest where there is one."""
    known = known_files(root) if (root / layout.MANIFEST_FILE).is_file() else {}
    hashes: dict[str, str] = {}
    for file in sorted({entry.file for entry in part.tensors.entries.values()}):
        name = file.relative_to(root).as_posix()
        hashes[name] = file_sha256(file)
        if name in known and known[name]["sha256"] != hashes[name]:
            raise InvalidModel(f"{file} is not what the manifest says (sha256 differs); download it again")
    return hashes


def _write(file: Path, part: Part, granularity: Granularity, loras: Sequence[Lora]) -> int:
    entries = {name: entry for name, entry in part.tensors.entries.items() if not GATE.fullmatch(name)}
    done = [name for name, entry in entries.items() if entry.dtype == E4M3]
    if done:
        raise InvalidModel(f"{entries[done[0]].file} is quantised already ({done[0]} is {E4M3}); use it as it is")
    described: dict[str, Described] = {}
    for name, entry in entries.items():
        described.update(_described(name, entry, granularity))
    write_safetensors(file, described, _quantised(part.tensors, entries, granularity, loras))
    return sum(1 for name in entries if QUANTISED.fullmatch(name))


def _described(name: str, entry: TensorEntry, granularity: Granularity) -> dict[str, Described]:
    if not QUANTISED.fullmatch(name):
        return {name: (entry.dtype, entry.shape)}
    scales = entry.shape[:1] if granularity == "row" else ()
    return {name: (E4M3, entry.shape), f"{name}_scale": ("F32", scales)}


def _quantised(
    tensors: TensorFiles, names: Mapping[str, TensorEntry], granularity: Granularity, loras: Sequence[Lora]
) -> Iterator[tuple[str, Tensor]]:
    for name in names:
        tensor = merged(name, tensors[name], loras)
        if not QUANTISED.fullmatch(name):
            yield name, tensor.to(tensors[name].dtype)
            continue
        codes, scale = quantize_weight(tensor, granularity)
        if not bool(scale.isfinite().all()):
            raise InvalidModel(
                f"{tensors.entries[name].file}: {name} holds values that are not finite; download it again"
            )
        yield name, codes
        yield f"{name}_scale", scale.to(torch.float32)
