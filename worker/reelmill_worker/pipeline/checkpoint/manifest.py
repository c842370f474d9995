"""A model folder's manifest: size and hash of each file, written when the files come, so that a model has one name."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import structlog

from reelmill_common.errors import InvalidModel
from reelmill_worker.pipeline.checkpoint import layout

log = structlog.get_logger(__name__)

FORMAT = "reelmill-model"
ARTIFACT_FORMAT = "reelmill-fp8"
ARTIFACT_VERSION = 2
"""Version of a quantised transformer. Version 1 had no number, and scales by row unless it was told otherwise."""
MADE_UP = "reelmill model tiny"
"""Stands in the manifest of a model of random weights."""
TRAINED = "reelmill training"
"""Stands in the manifest of the tiny model with trained weights."""


def file_sha256(path: Path) -> str:
    """Hash a file without reading it into memory at once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def listing(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return size and hash by path relative to the folder."""
    return {
        file.relative_to(folder).as_posix(): {"size_bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(files)
    }


def model_files(folder: Path) -> list[Path]:
    """Return the files that make up a model; the quantised artifact has a manifest of its own."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and file.suffix in (".json", ".safetensors")
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and layout.TRANSFORMER_FP8 not in file.relative_to(folder).parts
        and file != folder / layout.MANIFEST_FILE
    ]


def write_manifest(folder: Path, *, source: Mapping[str, Any]) -> None:
    """Hash every file of a model and write its manifest."""
    files = listing(folder, model_files(folder))
    layout.write_json(folder / layout.MANIFEST_FILE, {"format": FORMAT, "source": dict(source), "files": files})


def is_made_up(folder: Path) -> bool:
    """Whether a model was made by `reelmill model tiny`, not downloaded."""
    return _made_by(folder) in (MADE_UP, TRAINED)


def is_trained_tiny(folder: Path) -> bool:
    """Whether a model is the tiny one with trained weights, whose pictures are known."""
    return _made_by(folder) == TRAINED


def _made_by(folder: Path) -> object:
    path = folder / layout.MANIFEST_FILE
    source: object = layout.read_json(path).get("source") if path.is_file() else None
    return source.get("made_by") if isinstance(source, dict) else None


def known_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and hash of a model's files: from its manifest, whose sizes are checked, or else by hashing them now.

    Raises:
        InvalidModel: A file that the manifest names is absent or has another size.
    """
    path = folder / layout.MANIFEST_FILE
    if not path.is_file():
        started = time.monotonic()
        files = listing(folder, model_files(folder))
        # Seconds for a model that `reelmill model pull` did not bring: on every start, so the log says it.
        log.info("model.hashed", folder=str(folder), seconds=round(time.monotonic() - started, 3))
        return files
    listed: object = layout.read_json(path).get("files")
    if not isinstance(listed, dict):
        raise InvalidModel(f"{path} lists no files; download the model again (reelmill model pull)")
    for name, wanted in listed.items():
        file = folder / name
        # A host with the quantised artifact need not keep the 4 times larger transformer that it was made of.
        if not file.is_file() and not (name.startswith(f"{layout.TRANSFORMER}/") and _has_artifact(folder)):
            raise InvalidModel(f"{file} is missing; download the model again (reelmill model pull)")
        if file.is_file() and file.stat().st_size != wanted["size_bytes"]:
            got, want = file.stat().st_size, wanted["size_bytes"]
            raise InvalidModel(f"{file} has {got} bytes where the manifest says {want}; download it again")
    return listed


def check_files(folder: Path) -> int:
    """Hash every file that is there and compare it with the manifest; return how many there were.

    Raises:
        InvalidModel: A file is absent or not what was downloaded or made.
    """
    listed = known_files(folder)
    present = [name for name in listed if (folder / name).is_file()]
    for name in present:
        got, want = file_sha256(folder / name), listed[name]["sha256"]
        if got != want:
            raise InvalidModel(
                f"{folder / name} has hash {got[:16]}… where the manifest says {want[:16]}…; get it again"
            )
    return len(present)


def _has_artifact(folder: Path) -> bool:
    return (folder / layout.TRANSFORMER_FP8 / layout.MANIFEST_FILE).is_file()


def outdated(model: Path) -> str:
    """Return what to do about a quantised transformer of another version, with the exact command; else nothing.

    Version 1 by tensor holds the codes of today. One by row may have been made so by default, of a model that was
    trained by tensor: it would render, and lose what training had won back.
    """
    path = model / layout.TRANSFORMER_FP8 / layout.MANIFEST_FILE
    if not path.is_file():
        return ""
    made = layout.read_json(path)
    version = made.get("version", 1)
    if version == ARTIFACT_VERSION or (version == 1 and made.get("granularity") == "tensor"):
        return ""
    if version != 1:
        return f"{path.parent} has version {version!r}, this release reads {ARTIFACT_VERSION}; {_again(model, made)}"
    return (
        f"{path.parent} was quantised by an older release, with a scale a weight row; models that FP8 QAT trained want "
        f"one a tensor: {_again(model, made)}. Weights that were not trained so: "
        f"`reelmill model quantize {quote(str(model))} --scales row`"
    )


def _again(model: Path, made: Mapping[str, Any]) -> str:
    folder = quote(str(model))
    changes = [f" --lora {item['name']}={item['strength']}" for item in made.get("loras") or []]
    if changes:
        return f"remove {folder} and run `reelmill model quantize MODEL{''.join(changes)} --into {folder}`"
    if (model / layout.TRANSFORMER).is_dir():
        return f"run `reelmill model quantize {folder}`, which replaces it"
    return (
        "its floats are gone: fetch them again with `reelmill model pull NEW`, then run `reelmill model quantize NEW` "
        "and use that folder"
    )


def digest(value: Any) -> str:
    """Hash a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
