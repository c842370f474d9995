"""The recipe of a clip: everything needed to make it again, in the MP4's tags and in the manifest beside it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from reelmill_common.jobs import RenderSpec
from reelmill_common.text.untrusted_json import read_object

SCHEMA_VERSION = 1

PACKAGES = ("reelmill", "torch", "diffusers", "transformers", "tokenizers", "sageattention", "triton", "av")
"""What can change the pixels or the file, when its version changes."""


def versions() -> dict[str, str]:
    """Return the versions of what is at work, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def make_recipe(spec: RenderSpec, *, job: Mapping[str, Any], renderer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a clip's recipe.

    Args:
        spec: What was asked for.
        job: Whose it is: `job_id`, `batch`, `row`, `attempt`, `claim` (the word of its token), `farm`, `worker`.
        renderer: What the renderer says of itself: `model_hash`, `plan`, `versions`. Clips of equal spec are equal to
            the bit where this is equal.
    """
    return {"schema_version": SCHEMA_VERSION, "job": dict(job), "spec": asdict(spec), **renderer}


def make_manifest(
    recipe: Mapping[str, Any],
    *,
    clip: Mapping[str, Any],
    seconds: Mapping[str, float],
    spent: Mapping[str, float | None] | None = None,
    submitted_s: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return the JSON document that is stored beside a clip, written last.

    Args:
        recipe: What `make_recipe` gave.
        clip: The file: `key`, `sha256`, `size_bytes`, `latents_sha256`.
        seconds: Seconds by stage.
        spent: What it took of the GPU: `gpu_s`, and `energy_j` or None.
        submitted_s: Unix seconds of the job's submission; 0 for a clip that no farm made.
        metadata: What its list says of it. It is no part of the recipe, nor of the file's tags.
    """
    document = {**recipe, "clip": dict(clip), "seconds": dict(seconds), **(spent or {})}
    if metadata:
        document["metadata"] = dict(metadata)
    if submitted_s:
        document["submitted_at"] = _moment(submitted_s)
    document["written_at"] = _moment(time.time())
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def is_leftover(manifest: bytes, *, job_id: str, submitted_s: float) -> bool:
    """Whether a manifest was written for this life of a job, and not for one that was pruned, or of another farm."""
    try:
        document = read_object(manifest, "a manifest")
        return (document["job"]["job_id"], document["submitted_at"]) == (job_id, _moment(submitted_s))
    except (ValueError, LookupError, TypeError):
        return False


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
