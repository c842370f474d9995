"""What a clip's signed manifest claims, as c2pa's builder takes it (C2PA Technical Specification 2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from reelmill_common.provenance.plain_marks import DIGITAL_SOURCE_TYPE

Prompt = Literal["show", "hash", "omit"]
RECIPE_LABEL = "org.reelmill.recipe"
"""Label of the assertion that holds the recipe."""
FINGERPRINT_ALG = "org.reelmill.pdq.v1"
"""Name of the soft binding. C2PA's list of algorithms has no PDQ over several frames."""
SIGNED_LABELS = ("c2pa.actions.v2", "c2pa.soft-binding", RECIPE_LABEL)
"""Assertions that the signer vouches for: they are made here, not gathered from elsewhere."""


def claim(recipe: Mapping[str, Any], *, fingerprint: str, version: str, made_at: float) -> dict[str, Any]:
    """Return a manifest definition.

    Args:
        recipe: The recipe as the file may show it, see `shown`.
        fingerprint: Text of the clip's fingerprint; empty if none was taken.
        version: Version of Reelmill.
        made_at: Unix seconds.
    """
    job, spec = recipe["job"], recipe["spec"]
    created = {
        "action": "c2pa.created",
        "when": datetime.fromtimestamp(made_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": spec["profile"], "version": recipe["model_hash"]},
    }
    binding = {"alg": FINGERPRINT_ALG, "blocks": [{"scope": {}, "value": fingerprint}]}
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
        *([{"label": "c2pa.soft-binding", "data": binding}] if fingerprint else []),
        {"label": RECIPE_LABEL, "data": dict(recipe)},
    ]
    return {
        "claim_generator_info": [{"name": "Reelmill", "version": version}],
        "title": f"{job['batch']}/{job['row']}",
        "format": "video/mp4",
        "assertions": assertions,
    }


def shown(recipe: Mapping[str, Any], prompt: Prompt) -> dict[str, Any]:
    """Return a recipe as a clip's file may show it: with the prompt, its SHA-256 as `prompt_sha256`, or without."""
    if prompt == "show":
        return dict(recipe)
    spec = {name: value for name, value in recipe.get("spec", {}).items() if name != "prompt"}
    if prompt == "hash":
        text = str(recipe.get("spec", {}).get("prompt", ""))
        spec["prompt_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return {**recipe, "spec": spec}
