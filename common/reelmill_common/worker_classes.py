"""Worker classes: the names by which a job can ask for a kind of worker, and which of them a worker has.

A worker has a class for its GPU (`h100`), one for its architecture (`sm90`), one for all that decides the last bits of
its clips (`bits-…`), and its labels (`REELMILL_WORKER_LABELS`). A worker without a GPU has `cpu` for the first two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from reelmill_common.contract import lane_name

DECISIVE = (
    "device",
    "gpu",
    "dtype",
    "linears",
    "weight_scales",
    "fp8",
    "attention",
    "projected",
    "cross_attention",
    "fused",
    "text_encoder",
)
"""Choices of a plan that decide the last bits of a clip, beside spec and model."""
DECISIVE_IF_MADE = ("text_padding",)
"""Choices that decide them too and are younger: plans from before say nothing of them, and were as plans without."""
_BITS = "bits-"
_CPU = "cpu"


def decisive(renderer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the last bits, from a renderer's description or a recipe: choices and versions."""
    plan = renderer.get("plan")
    choices = cast("Mapping[str, Any]", plan) if isinstance(plan, dict) else {}
    made = {name: choices[name] for name in DECISIVE_IF_MADE if choices.get(name)}
    return {"versions": renderer.get("versions"), **{name: choices.get(name) for name in DECISIVE}, **made}


def bits_class(renderer: Mapping[str, Any]) -> str:
    """Return the class of equal bits of a renderer or a recipe; empty if no model was at work."""
    if not isinstance(renderer.get("plan"), dict):
        return ""
    text = json.dumps(decisive(renderer), sort_keys=True, ensure_ascii=False)
    return _BITS + hashlib.sha256(text.encode()).hexdigest()[:12]


def gpu_class(name: str) -> str:
    """Return the short name of a GPU: `h100` for `NVIDIA H100 80GB HBM3`, `rtx4090` for `NVIDIA GeForce RTX 4090`.

    It is the first word with a digit; a bare number takes the word before it along.
    """
    parts: list[str] = re.findall(r"[a-z0-9]+", name.lower())
    for before, part in zip(["", *parts], parts, strict=False):
        if re.search(r"[0-9]", part):
            return before + part if part.isdigit() else part
    return ""


def classes_of(info: Mapping[str, Any], labels: Sequence[str] = ()) -> list[str]:
    """Return the classes of a worker.

    Args:
        info: Its renderer's description, and `gpu_arch` (`sm90`) where it has a GPU.
        labels: Labels that its host gives it.
    """
    plan = info.get("plan")
    gpu = str(cast("Mapping[str, Any]", plan).get("gpu", "")) if isinstance(plan, dict) else ""
    own = [_CPU if gpu == _CPU else gpu_class(gpu), str(info.get("gpu_arch", "")), bits_class(info)]
    return list(dict.fromkeys(name for name in (*labels, *own) if name))


def lanes_of(profile: str, classes: Sequence[str]) -> list[str]:
    """Return the lanes that a worker serves, those of its classes first: at equal priority they have fewer workers."""
    return [*(lane_name(profile, name) for name in classes), profile]
